package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPublishThroughLambda: with what a development server writes about itself,
// and without.
func TestPublishThroughLambda(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LAMBDA"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	data := t.TempDir()
	server, f := dev(t, data)
	devJSON := filepath.Join(data, "dev.json")
	listener := begin(t, "", nil, "subscribe", "--dev", devJSON, "-n", "3", "hello")
	listener.err.await(t, "listening to hello")
	id := regexp.MustCompile(`^[0-9A-Z]{26}\n$`)
	if out, _ := run(t, 0, "publish", "--lambda", "--dev", devJSON, "hello", "greeting", `1`); !id.MatchString(out) {
		t.Errorf("publish prints %q, want an id", out)
	}
	_, errs := run(t, 1, "publish", "--lambda", "--dev", devJSON, "he llo", "greeting")
	if !strings.Contains(errs, "CHANNEL_NAME") {
		t.Errorf("a bad name: %s", errs)
	}

	t.Setenv("AWS_ACCESS_KEY_ID", f.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", f.SecretAccessKey)
	if out, _ := run(t, 0, "publish", "--lambda", "--url", f.URL, "--function", "any", "--region", "eu-west-1", "hello", "greeting", `2`); !id.MatchString(out) {
		t.Errorf("publish prints %q, want an id", out)
	}
	t.Setenv("AWS_ENDPOINT_URL_LAMBDA", f.URL)
	if out, _ := run(t, 0, "publish", "--lambda", "--function", "any", "--region", "eu-west-1", "hello", "greeting", `3`); !id.MatchString(out) {
		t.Errorf("publish prints %q, want an id", out)
	}
	if code := <-listener.code; code != 0 {
		t.Errorf("subscribe ended with %d: %s", code, listener.err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	_, errs = run(t, 1, "publish", "--lambda", "--function", "any", "--region", "eu-west-1", "hello", "greeting")
	if !strings.Contains(errs, "InvalidSignatureException") {
		t.Errorf("a wrong secret: %s", errs)
	}
	_, errs = run(t, 1, "publish", "--lambda", "--function", "any", "hello", "greeting")
	if !strings.Contains(errs, "--region is needed") {
		t.Errorf("without a region: %s", errs)
	}
	_, errs = run(t, 1, "publish", "--lambda", "--url", f.URL, "hello", "greeting")
	if !strings.Contains(errs, "--function is needed") {
		t.Errorf("without a function: %s", errs)
	}
	server.end()
	_, errs = run(t, 1, "publish", "--lambda", "--dev", devJSON, "hello", "greeting")
	if !strings.Contains(errs, "nobody listens at "+f.URL) {
		t.Errorf("without a server: %s", errs)
	}
}

// TestPublishForLater: a message that is scheduled, and an entry that is set.
func TestPublishForLater(t *testing.T) {
	data := t.TempDir()
	server, _ := dev(t, data)
	devJSON := filepath.Join(data, "dev.json")
	out, _ := run(t, 0, "publish", "--dev", devJSON, "hello", "greeting", `1`, "--at", "2099-12-24T18:00:00", "--timezone", "Europe/Berlin")
	if !strings.HasPrefix(out, "arn:aws:scheduler:") {
		t.Errorf("publish prints %q, want the name of a schedule", out)
	}
	_, errs := run(t, 1, "publish", "--dev", devJSON, "hello", "greeting", `1`, "--at", "tomorrow")
	if !strings.Contains(errs, "SCHEDULE") {
		t.Errorf("a time that is none: %s", errs)
	}
	if out, _ := run(t, 0, "publish", "--dev", devJSON, "hello", "hotsock.channelStorageSet", `{"a":1}`, "--entry", "k"); strings.HasPrefix(out, "arn:") {
		t.Errorf("setting an entry prints %q", out)
	}
	_, errs = run(t, 1, "publish", "--dev", devJSON, "hello", "hotsock.channelStorageSet", `{"a":1}`, "--entry", "no key")
	if errs == "" {
		t.Error("a bad key is accepted")
	}
	server.end()
}
