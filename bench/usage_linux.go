package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processUsage asks the kernel about a process.
func processUsage(pid int) (Usage, error) {
	// The CPU clock of another process, by the arithmetic of
	// clock_getcpuclockid(3): exact, where /proc rounds to hundredths of a second.
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &t); err != nil {
		return Usage{}, fmt.Errorf("the CPU time of process %d: %w", pid, err)
	}
	u := Usage{CPU: time.Duration(t.Nano())}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, err
	}
	u.RSS, u.Peak = kilobytes(status, "VmRSS:"), kilobytes(status, "VmHWM:")
	// Where we may, the exact figure: the other one is summed lazily over CPUs.
	if exact, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid)); err == nil {
		u.RSS = kilobytes(exact, "Rss:")
	}
	return u, nil
}

// kilobytes finds "name 123 kB" in a file of /proc, in bytes; 0 if it is not there.
func kilobytes(text []byte, name string) int64 {
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// ownCPU is the CPU time that this process has used.
func ownCPU() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) // never fails
	return time.Duration(t.Nano())
}

// look fills in what the kernel says.
func (m *Machine) look() {
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(text), "model name"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			m.CPU = strings.Trim(line, " \t:")
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		m.Memory = kilobytes(text, "MemTotal:")
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
}
