package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot/client"
)

// TestSchedule lists what was scheduled, and takes it back.
func TestSchedule(t *testing.T) {
	data := t.TempDir()
	server, f := dev(t, data)
	devJSON := filepath.Join(data, "dev.json")
	publisher, err := client.NewPublisher(client.Config{URL: f.URL, PublishKey: f.PublishKey})
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	at := time.Now().Add(time.Hour).Truncate(time.Second)
	answer, err := publisher.Publish(t.Context(), client.Message{Channel: "c", Event: "e", ScheduleExpression: client.At(at)})
	if err != nil {
		t.Fatal(err)
	}
	published, err := answer.Decode()
	if err != nil || published.ScheduleARN == "" {
		t.Fatalf("answered %s, %v", published.ScheduleARN, err)
	}
	id := published.ScheduleARN[strings.LastIndexByte(published.ScheduleARN, '/')+1:]
	want := id + "\t" + at.Local().Format(time.DateTime) + "\tc\te\t\n"
	if out, _ := run(t, 0, "schedule", "list", "--dev", devJSON); out != want {
		t.Errorf("listed %q, want %q", out, want)
	}
	run(t, 0, "schedule", "cancel", "--dev", devJSON, published.ScheduleARN)
	if out, _ := run(t, 0, "schedule", "list", "--dev", devJSON); out != "" {
		t.Errorf("listed %q after it was cancelled", out)
	}
	if _, errs := run(t, 1, "schedule", "cancel", "--dev", devJSON, id); !strings.Contains(errs, "SCHEDULE_NOT_FOUND") {
		t.Errorf("cancelling again says %q", errs)
	}
	if code := server.end(); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
}
