package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/earshot-io/earshot/config"
)

// readme returns the command lines of the README below a heading, as they stand
// there.
func readme(t *testing.T, heading string) []string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n"+heading+"\n")
	if !found {
		t.Fatalf("README.md has no %s", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var lines []string
	for _, m := range regexp.MustCompile(`(?m)^\$ earshot (.*)$`).FindAllStringSubmatch(section, -1) {
		line, _, _ := strings.Cut(m[1], " #")
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// TestReadmeGateway runs the lines for who comes from API Gateway, literally, in a
// directory with the tutorial's template.
func TestReadmeGateway(t *testing.T) {
	lines := readme(t, "## Coming from API Gateway")
	text, err := os.ReadFile(tutorialTemplate)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("template.yaml", text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"onConnect", "authorizer", "pushToWebSocket"} {
		dir := filepath.Join("functions", name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "main"), []byte("#!/bin/sh\nexec sleep 60\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var running *command
	stop := func() {
		if running != nil {
			if code := running.end(); code != 0 {
				t.Errorf("the server ended with %d: %s", code, running.err)
			}
		}
		running = nil
	}
	develop := func(args []string) {
		stop()
		running = begin(t, "", config.Environment{"PORT=0"}, args...)
		running.out.await(t, "Ctrl-C stops.")
	}
	var server []string // the line that started the last development server
	done := map[string]int{}
	for _, line := range lines {
		args := strings.Fields(line)
		done[args[0]]++
		switch args[0] {
		case "dev":
			server = args
			develop(args)
		case "app": // which has an operator
			develop(server)
			run(t, 0, args...)
		case "serve":
			stop()
			running = begin(t, "", config.Environment{"HOST=127.0.0.1", "PORT=0", "EARSHOT_SERVER_DRAIN_WAIT=0s", "EARSHOT_SERVER_DRAIN_SPREAD=0s"}, args...)
			running.err.await(t, "msg=ready")
		default:
			run(t, 0, args...)
		}
	}
	stop()
	for _, name := range []string{"dev", "serve", "import", "app"} {
		if done[name] == 0 {
			t.Errorf("the README has no line for earshot %s", name)
		}
	}
}
