package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awskeys "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/coder/websocket"
)

const tutorial = "../../function/testdata/tutorial"

// devFunctions starts a development server with functions.
func devFunctions(t *testing.T, dir string) (*command, *devFile) {
	t.Helper()
	data := t.TempDir()
	c := begin(t, "", nil, "dev", "--listen", "127.0.0.1:0", "--data", data, "--functions", dir)
	c.out.await(t, "Ctrl-C stops.")
	text, err := os.ReadFile(filepath.Join(data, "dev.json"))
	if err != nil {
		t.Fatal(err)
	}
	f := &devFile{}
	if err := json.Unmarshal(text, f); err != nil {
		t.Fatal(err)
	}
	return c, f
}

// TestDevFunctions: functions are built from their source, and do what they do on
// AWS.
func TestDevFunctions(t *testing.T) {
	server, f := devFunctions(t, tutorial)
	invokeTutorial(t, server, f)
	speakTutorial(t, server, f)
	server.end()
}

// invokeTutorial invokes the functions with AWS's SDK, by the key of dev.json.
func invokeTutorial(t *testing.T, server *command, f *devFile) {
	t.Helper()
	if base := strings.TrimSuffix(f.URL, "/"); f.ManagementURL != base+"/dev" || f.GatewayURL != strings.Replace(base, "http://", "ws://", 1)+"/dev" {
		t.Errorf("got %s and %s", f.GatewayURL, f.ManagementURL)
	}
	if said := server.out.String(); !strings.Contains(said, f.GatewayURL) || !strings.Contains(said, f.ManagementURL) {
		t.Errorf("the addresses are not in %s", said)
	}
	client := lambda.New(lambda.Options{
		Region: f.Region, BaseEndpoint: aws.String(f.URL), Credentials: awskeys.NewStaticCredentialsProvider(f.AccessKeyID, f.SecretAccessKey, ""),
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := client.Invoke(ctx, &lambda.InvokeInput{
		FunctionName: aws.String("onConnect"), Payload: []byte(`{"requestContext":{"connectionId":"c1"}}`), LogType: types.LogTypeTail,
	})
	if err != nil {
		t.Fatal(err)
	}
	log, err := base64.StdEncoding.DecodeString(aws.ToString(out.LogResult))
	if err != nil || out.FunctionError != nil || !strings.Contains(string(out.Payload), `"statusCode":200`) || !strings.Contains(string(log), "connected: c1") {
		t.Errorf("got %s, %v, %s, %v", out.Payload, out.FunctionError, log, err)
	}
	out, err = client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("arn:aws:lambda:us-east-1:000000000000:function:authorizer"), Payload: []byte(`{"type":"REQUEST"}`)})
	if err != nil || aws.ToString(out.FunctionError) != "Unhandled" || !strings.Contains(string(out.Payload), `"errorMessage":"Unauthorized"`) {
		t.Errorf("got %+v, %v", out, err)
	}
	out, err = client.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String(f.FunctionARN), Payload: []byte(`{"channel":"c","event":"e"}`)})
	if err != nil || out.FunctionError != nil || !strings.Contains(string(out.Payload), `"channel":"c"`) {
		t.Errorf("what publishes is gone: %+v, %v", out, err)
	}
	if !strings.Contains(server.err.String(), "function=onConnect line=\"connected: c1\"") {
		t.Errorf("what the function printed is not in the log:\n%s", server.err.String())
	}
}

// speakTutorial is the tutorial's dialogue: who shows the token is let in, and a
// message is answered over the management API, at the address that AWS would have.
func speakTutorial(t *testing.T, server *command, f *devFile) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for query, status := range map[string]int{"": 401, "?Auth=wrong": 401, "?Auth=deny": 403, "?Auth=crash": 500} {
		_, resp, err := websocket.Dial(ctx, f.GatewayURL+query, nil)
		if err == nil || resp == nil || resp.StatusCode != status {
			t.Errorf("%q: got %v, %v, want %d", query, resp, err, status)
		}
	}
	c, _, err := websocket.Dial(ctx, f.GatewayURL+"?Auth=myFakeToken", nil)
	if err != nil {
		t.Fatal(err, server.err)
	}
	defer func() { _ = c.CloseNow() }()
	for range 3 {
		if err := c.Write(ctx, websocket.MessageText, []byte(`{"message": "hello Matteo", "action": "pushtowebsocket"}`)); err != nil {
			t.Fatal(err)
		}
		if kind, data, err := c.Read(ctx); err != nil || kind != websocket.MessageText || string(data) != "Hello there!" {
			t.Fatalf("got %q, %v\n%s", data, err, server.err)
		}
	}
	if err := c.Write(ctx, websocket.MessageText, []byte(`{"action": "nope"}`)); err != nil {
		t.Fatal(err)
	}
	if _, data, err := c.Read(ctx); err != nil || !strings.HasPrefix(string(data), `{"message": "Forbidden", "connectionId":"`) {
		t.Errorf("got %q, %v", data, err)
	}
	if strings.Contains(server.err.String(), "hello Matteo") || strings.Contains(server.err.String(), "myFakeToken") {
		t.Error("a payload or a token is in the log")
	}
}

func dialSocket(ctx context.Context, t *testing.T, url string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// askSocket sends a text and returns the next one that comes, or why none does.
func askSocket(ctx context.Context, c *websocket.Conn, text string) string {
	if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		return err.Error()
	}
	_, data, err := c.Read(ctx)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// TestDevMisbehaving: a function that crashes, hangs, floods or answers garbage is
// told to who called it, and nobody else notices.
func TestDevMisbehaving(t *testing.T) {
	server, f := devFunctions(t, "../../function/testdata/misbehaving")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dial := func() *websocket.Conn { return dialSocket(ctx, t, f.GatewayURL) }
	ask := func(c *websocket.Conn, text string) string { return askSocket(ctx, c, text) }
	const hello = `{"action":"hello"}`
	bad, good, after := dial(), dial(), dial()
	defer func() { _, _, _ = bad.CloseNow(), good.CloseNow(), after.CloseNow() }()
	if got := ask(good, hello); got != "hello" {
		t.Fatalf("got %s", got)
	}
	// The frames of the one, while the other goes on.
	alone := time.Now()
	for range 50 {
		ask(good, hello)
	}
	t.Logf("alone a call takes %v", time.Since(alone)/50)
	stop, calm := make(chan struct{}), make(chan []time.Duration)
	go func() {
		var all []time.Duration
		for {
			select {
			case <-stop:
				calm <- all
				return
			default:
			}
			begun := time.Now()
			if got := ask(good, hello); got != "hello" {
				t.Errorf("got %s beside functions that misbehave", got)
			}
			all = append(all, time.Since(begun))
		}
	}()
	for _, what := range []string{"crash", "exit", "garbage", "wrong", "large", "hang"} {
		begun := time.Now()
		if got := ask(bad, what); !strings.HasPrefix(got, `{"message": "Internal server error", "connectionId":"`) {
			t.Errorf("%s: got %s", what, got)
		}
		t.Logf("%s: answered after %v", what, time.Since(begun))
	}
	if err := bad.Write(ctx, websocket.MessageText, []byte("flood")); err != nil {
		t.Fatal(err)
	}
	if got := ask(bad, hello); got != "hello" { // after the flood, in its turn
		t.Errorf("got %s", got)
	}
	close(stop)
	all := <-calm
	slices.Sort(all)
	t.Logf("beside it %d calls were answered, half of them in %v, the slowest in %v", len(all), all[len(all)/2], all[len(all)-1])
	if got := ask(after, hello); got != "hello" {
		t.Errorf("got %s", got)
	}
	server.end()
}

func TestDevFunctionsWrong(t *testing.T) {
	empty := t.TempDir()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"empty":             {[]string{"--functions", empty}, "has none: neither a directory with a Go program nor a program"},
		"not there":         {[]string{"--functions", filepath.Join(empty, "x")}, "no such file"},
		"set alone":         {[]string{"--set", "a=b"}, "--set is for a template"},
		"set, no template":  {[]string{"--functions", tutorial, "--set", "a=b"}, "has none"},
		"does not compile":  {[]string{"--functions", filepath.Dir(broken(t))}, "undefined: nothing"},
		"template is wrong": {[]string{"--functions", withTemplate(t, "Resources: [}")}, "template.yaml"},
		"template of else":  {[]string{"--functions", withTemplate(t, "Resources: {B: {Type: AWS::S3::Bucket}}")}, "has no WebSocket API"},
	} {
		args := append([]string{"dev", "--listen", "127.0.0.1:0", "--data", t.TempDir()}, c.args...)
		if _, errs := run(t, 1, args...); !strings.Contains(errs, c.want) {
			t.Errorf("%s: got %s", name, errs)
		}
	}
}

// broken is a function that does not compile, as a module of its own.
func broken(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "fn")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"go.mod": "module fn\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() { nothing() }\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func withTemplate(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "template.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
