package api

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// systemFigures are what the kernel says. What it does not say is left out.
func systemFigures(add func(Metric)) {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) == nil {
		add(Metric{
			Name: "process_cpu_seconds_total", Help: "CPU time that was used, in seconds.", Samples: []Sample{{Value: float64(t.Nano()) / 1e9}},
		})
	}
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		add(Gauge("process_resident_memory_bytes", "Memory that is resident.", kilobytes(status, "VmRSS:")))
		add(Gauge("process_virtual_memory_bytes", "Memory that is mapped.", kilobytes(status, "VmSize:")))
	}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		add(Gauge("process_open_fds", "File descriptors that are open.", float64(len(fds))))
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		add(Gauge("process_max_fds", "File descriptors that may be open.", float64(limit.Cur)))
	}
}

// kilobytes finds "name 123 kB" in /proc/self/status, in bytes.
func kilobytes(status []byte, name string) float64 {
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return n * 1024
		}
	}
	return 0
}
