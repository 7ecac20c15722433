package function_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/function"
)

// median reports the median of durations in microseconds.
func median(b *testing.B, all []time.Duration) {
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2])/1e3, "median-µs")
	b.ReportMetric(0, "ns/op")
}

// rigOf is a host of the tutorial's onConnect, which is built as it would be.
func rigOf(b *testing.B, idle time.Duration) (*function.Host, function.Functions) {
	b.Helper()
	data := b.TempDir()
	binary := filepath.Join(data, "onConnect")
	if err := function.Build(b.Context(), "testdata/tutorial/onConnect", binary); err != nil {
		b.Fatal(err)
	}
	g := gateway(earshot.GatewayFunction{Name: "f", Command: []string{binary}})
	h, err := function.New(function.Config{
		Apps: []*earshot.App{{Slug: "one", Gateways: []earshot.Gateway{g}}}, Data: data, Log: slog.New(slog.DiscardHandler), Idle: idle,
	})
	if err == nil {
		err = h.Start(b.Context())
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return h, h.Of("one")
}

const event = `{"requestContext":{"routeKey":"$connect","connectionId":"R1kmxc2VNjMCFIA=","stage":"prod","apiId":"abc123"},"isBase64Encoded":false}`

func invokeOnce(b *testing.B, f function.Functions) time.Duration {
	begun := time.Now()
	out, err := f.Invoke(b.Context(), "f", []byte(event))
	if err != nil || !strings.Contains(string(out), `"statusCode":200`) {
		b.Fatal(string(out), err)
	}
	return time.Since(begun)
}

// BenchmarkWarm is a call of a function that waits for one, an aws-lambda-go.
func BenchmarkWarm(b *testing.B) {
	_, f := rigOf(b, 0)
	invokeOnce(b, f)
	all := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for range b.N {
		all = append(all, invokeOnce(b, f))
	}
	median(b, all)
}

// BenchmarkCold is a call for which a process has to be started: the one before it
// has been ended for having nothing to do.
func BenchmarkCold(b *testing.B) {
	h, f := rigOf(b, time.Nanosecond)
	all := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for range b.N {
		for h.Stats().Processes > 0 {
			time.Sleep(time.Millisecond)
		}
		all = append(all, invokeOnce(b, f))
	}
	median(b, all)
}

// BenchmarkFloorHTTP is what two requests to another process cost, which is what
// the Runtime API has for one call: an answer, and the next event.
func BenchmarkFloorHTTP(b *testing.B) {
	binary, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), kind+"=server")
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	address := make([]byte, 100)
	n, err := out.Read(address)
	if err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	all := make([]time.Duration, 0, b.N)
	for range b.N {
		begun := time.Now()
		for range 2 {
			resp, err := client.Post("http://"+string(address[:n]), "application/json", strings.NewReader(event))
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		all = append(all, time.Since(begun))
	}
	median(b, all)
	client.CloseIdleConnections()
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
}

// answer is a server that answers, in a process of its own.
func answer() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Print(l.Addr())
	panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, event)
	})))
}

// BenchmarkFloorPipe is what a line to another process and back costs.
func BenchmarkFloorPipe(b *testing.B) {
	cat := exec.Command("cat")
	in, err := cat.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cat.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cat.Start(); err != nil {
		b.Fatal(err)
	}
	all := make([]time.Duration, 0, b.N)
	buffer := make([]byte, len(event))
	for range b.N {
		begun := time.Now()
		if _, err := io.WriteString(in, event); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(out, buffer); err != nil {
			b.Fatal(err)
		}
		all = append(all, time.Since(begun))
	}
	median(b, all)
	_ = in.Close()
	if err := cat.Wait(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkFloorStart is what starting and ending the function's program costs, which
// says at once that nothing is there to serve.
func BenchmarkFloorStart(b *testing.B) {
	binary := filepath.Join(b.TempDir(), "f")
	if err := function.Build(b.Context(), "testdata/tutorial/onConnect", binary); err != nil {
		b.Fatal(err)
	}
	all := make([]time.Duration, 0, b.N)
	for range b.N {
		begun := time.Now()
		cmd := exec.Command(binary)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
		if cmd.Run() == nil {
			b.Fatal("a function runs without a host")
		}
		all = append(all, time.Since(begun))
	}
	median(b, all)
}
