package function_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"go.uber.org/goleak"
)

// kind is the variable by which this binary is a function instead of a test.
const kind = "TEST_FUNCTION"

// TestMain is the tests, or the function that a test has started: an unmodified
// aws-lambda-go.
func TestMain(m *testing.M) {
	if name := os.Getenv(kind); name != "" {
		be(name)
		return
	}
	goleak.VerifyTestMain(m)
}

// be is the function of a name; it does not return.
func be(name string) {
	switch name {
	case "exit":
		fmt.Println("cannot begin")
		os.Exit(3)
	case "stuck":
		time.Sleep(time.Hour)
	case "raw":
		raw()
	case "unready":
		unready()
	case "orphan":
		host()
	case "server":
		answer()
	case "slow":
		time.Sleep(300 * time.Millisecond)
	case "child":
		c := exec.Command("sleep", "1000")
		if err := c.Start(); err != nil {
			panic(err)
		}
	}
	lambda.StartWithOptions(handle, lambda.WithEnableSIGTERM())
}

// An order is what a test asks a function for.
type order struct {
	Do, Text string
	N        int
}

func handle(ctx context.Context, o order) (any, error) {
	switch o.Do {
	case "error":
		return nil, errors.New(o.Text)
	case "panic":
		panic(o.Text)
	case "exit":
		os.Exit(o.N)
	case "hang":
		if o.Text != "" {
			return nil, hang(o.Text)
		}
		time.Sleep(time.Hour)
	case "sleep":
		time.Sleep(time.Duration(o.N) * time.Millisecond)
	case "print":
		fmt.Println(o.Text)
		fmt.Fprint(os.Stderr, "and an end without a line")
	case "flood":
		line := strings.Repeat("x", 200) + "\n"
		for range o.N {
			_, _ = os.Stdout.WriteString(line)
		}
	case "large":
		return strings.Repeat("x", o.N), nil
	case "garbage":
		return strings.NewReader(o.Text), nil
	case "nothing":
		return nil, nil
	case "break":
		return io.MultiReader(strings.NewReader(o.Text), broken{}), nil
	case "env":
		return os.Environ(), nil
	case "context":
		return inContext(ctx)
	case "call":
		return call(o.Text)
	case "get":
		return get(o.Text)
	case "wait":
		return nil, wait(o.Text)
	}
	return map[string]any{"echo": o.Text, "pid": os.Getpid()}, nil
}

// wait stays until the file is gone.
func wait(path string) error {
	for {
		if _, err := os.Stat(path); err != nil {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// hang writes the process's number into a file, and stays.
func hang(path string) error {
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return err
	}
	time.Sleep(time.Hour)
	return nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken off") }

func inContext(ctx context.Context) (any, error) {
	c, _ := lambdacontext.FromContext(ctx)
	until, ok := ctx.Deadline()
	return map[string]any{
		"id": c.AwsRequestID, "arn": c.InvokedFunctionArn, "client": c.ClientContext.Custom, "left": time.Until(until).Seconds(), "deadline": ok,
		"name": lambdacontext.FunctionName, "memory": lambdacontext.MemoryLimitInMB, "trace": os.Getenv("_X_AMZN_TRACE_ID"),
	}, nil
}

// orderOf is an order as JSON.
func orderOf(do, text string, n int) []byte {
	b, err := json.Marshal(order{do, text, n})
	if err != nil {
		panic(err)
	}
	return b
}

func now() time.Time { return time.Now() }
