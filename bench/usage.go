package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Usage is what a process has used, and holds.
type Usage struct {
	// CPU is the time of all its threads since it began.
	CPU time.Duration
	// RSS is its resident memory in bytes, Peak the most it had; 0 if not known.
	RSS, Peak int64
}

// usage asks what the server has used: of the process, if it is known, else
// what it says itself.
func (t *Target) usage(ctx context.Context) (Usage, error) {
	if t.PID != 0 {
		return processUsage(t.PID)
	}
	if t.URL == "" {
		return Usage{}, fmt.Errorf("neither the server's process nor its HTTP address is known")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := get(ctx, strings.TrimSuffix(t.URL, "/")+"/metrics")
	if err != nil {
		return Usage{}, err
	}
	defer r.Body.Close()
	return readMetrics(r.Body)
}

// get asks for a page, which must be there.
func get(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if r.StatusCode != http.StatusOK {
		r.Body.Close()
		return nil, fmt.Errorf("%s is answered %s", url, r.Status)
	}
	return r, nil
}

// readMetrics finds the process's figures in a Prometheus page.
func readMetrics(r io.Reader) (Usage, error) {
	var u Usage
	found := false
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			continue
		}
		switch name {
		case "process_cpu_seconds_total":
			u.CPU, found = time.Duration(v*float64(time.Second)), true
		case "process_resident_memory_bytes":
			u.RSS = int64(v)
		}
	}
	if err := lines.Err(); err != nil {
		return u, err
	}
	if !found {
		return u, fmt.Errorf("the metrics do not tell the process's CPU time")
	}
	return u, nil
}
