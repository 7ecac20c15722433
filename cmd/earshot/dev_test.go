package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDevAccessKey: a directory of an older version gets an access key, once,
// and keeps everything else.
func TestDevAccessKey(t *testing.T) {
	data := t.TempDir()
	path := filepath.Join(data, devKeys)
	old := appSettings(devApp)
	old = old[:strings.Index(old, "\n[[apps.access_keys]]")]
	if err := os.WriteFile(path, []byte(strings.TrimRight(old, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	server, f := dev(t, data)
	if f.FunctionARN != "arn:aws:lambda:us-east-1:000000000000:function:earshot-dev" || f.Region != "us-east-1" || f.AccessKeyID == "" || f.SecretAccessKey == "" {
		t.Errorf("got %+v", f)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), strings.TrimRight(old, "\n")) || strings.Count(string(text), "[[apps.access_keys]]") != 1 {
		t.Errorf("the file is now\n%s", text)
	}
	server.end()
	_, again := dev(t, data)
	if again.AccessKeyID != f.AccessKeyID || again.SecretAccessKey != f.SecretAccessKey || again.PublishKey != f.PublishKey {
		t.Errorf("got %+v, then %+v", f, again)
	}
}

// TestDevLeavesFilesAlone: a file of several apps, or one that is wrong, is
// nobody's to extend.
func TestDevLeavesFilesAlone(t *testing.T) {
	for _, text := range []string{"[[apps]]\nslug = \"a\"\n[[apps]]\nslug = \"b\"\n", "sever = 1\n", "[[apps]\n"} {
		path := filepath.Join(t.TempDir(), devKeys)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := ensureAccessKey(path, nil); err != nil {
			t.Error(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("got %s, %v", got, err)
		}
	}
}
