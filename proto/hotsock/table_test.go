package hotsock_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// rows returns the rows of a table of README.md below a heading, cell by cell.
func rows(t *testing.T, heading string) (all [][]string) {
	t.Helper()
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("README.md has no %s", heading)
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	for line := range strings.Lines(section) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "| ") {
			all = append(all, strings.Split(strings.Trim(line, "| "), " | "))
		}
	}
	return all[2:] // below the head and its line
}

// root is the top of the repository.
const root = "../.."

// shown reports why a test that the table names is none, nil if it is one.
func shown(name string) error {
	if file, title, ok := strings.Cut(name, ": "); ok {
		b, err := os.ReadFile(filepath.Join(root, file))
		if err == nil && !regexp.MustCompile("(it|test)\\([\"'`]"+regexp.QuoteMeta(title)+`\b`).Match(b) {
			err = fmt.Errorf("%s has no test %q", file, title)
		}
		return err
	}
	if strings.HasSuffix(name, ".txt") {
		_, err := os.Stat(filepath.Join(root, name))
		return err
	}
	dir, test, ok := strings.Cut(name, ".")
	if !ok || !strings.HasPrefix(test, "Test") {
		return fmt.Errorf("%q is not the name of a test", name)
	}
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil {
		return err
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if strings.Contains(string(b), "\nfunc "+test+"(t *testing.T)") {
			return nil
		}
	}
	return fmt.Errorf("%s has no %s", dir, test)
}

var quoted = regexp.MustCompile("`([^`]+)`")

// TestFeatureTable: every feature and every requirement is shown by tests that
// exist.
func TestFeatureTable(t *testing.T) {
	features, requirements := rows(t, "Features"), rows(t, "Requirements")
	if len(features) != 31 {
		t.Errorf("the table has %d features, the specification 31", len(features))
	}
	for i, r := range requirements {
		if want := fmt.Sprintf("R%d", i+1); r[0] != want {
			t.Errorf("row %d is %s, want %s", i, r[0], want)
		}
	}
	if len(requirements) != 24 {
		t.Errorf("the table has %d requirements, the specification 24", len(requirements))
	}
	for _, row := range append(features, requirements...) {
		if len(row) != 2 {
			t.Errorf("the row %q has not two cells", row)
			continue
		}
		names := quoted.FindAllStringSubmatch(row[1], -1)
		if len(names) == 0 {
			t.Errorf("nothing shows %s", row[0])
		}
		for _, name := range names {
			if err := shown(name[1]); err != nil {
				t.Errorf("%s: %v", row[0], err)
			}
		}
	}
}

// TestEveryMessageHasATranscript: each is sent or comes in the one that is named.
func TestEveryMessageHasATranscript(t *testing.T) {
	messages := rows(t, "Messages")
	if len(messages) < 30 {
		t.Errorf("got %d messages", len(messages))
	}
	for _, row := range messages {
		name, file := strings.Trim(row[0], "`"), strings.Trim(row[1], "`")
		b, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Error(err)
			continue
		}
		var form string
		switch {
		case strings.HasPrefix(name, "hotsock."):
			form = `(?m)^[a-z]*[<>?].*"event":"` + regexp.QuoteMeta(name) + `"`
		case strings.Contains(name, " /"):
			form = `(?m)^% ` + regexp.QuoteMeta(name) + `\b`
		default:
			form = `(?m)^[a-z]*\? ` + regexp.QuoteMeta(name) + ` `
		}
		if !regexp.MustCompile(form).Match(b) {
			t.Errorf("%s has no %s", file, name)
		}
	}
}
