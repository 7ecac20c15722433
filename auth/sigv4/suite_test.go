package sigv4_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/earshot-io/earshot/auth/sigv4"
)

// TestSuite verifies the signed requests of the AWS Signature Version 4 test
// suite, as its v4 directory in awslabs/aws-c-auth has them, and refuses each
// with a signature that ends in another digit.
func TestSuite(t *testing.T) {
	dir := os.Getenv("SIGV4_SUITE")
	if dir == "" {
		t.Skip("SIGV4_SUITE, the path of tests/aws-signing-test-suite/v4 of aws-c-auth, is not set")
	}
	all, err := filepath.Glob(filepath.Join(dir, "*", "*-signed-request.txt"))
	if err != nil || len(all) == 0 {
		t.Fatalf("%s has no signed requests: %v", dir, err)
	}
	for _, file := range all {
		name := filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file)
		t.Run(name, func(t *testing.T) { verifySuite(t, file) })
	}
	t.Logf("%d requests", len(all))
}

func verifySuite(t *testing.T, file string) {
	var context struct {
		Credentials struct {
			Secret string `json:"secret_access_key"`
		}
		Service   string
		Timestamp time.Time
		OmitToken bool `json:"omit_session_token"`
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(file), "context.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &context); err != nil {
		t.Fatal(err)
	}
	if context.OmitToken {
		t.Skip("a token that is not signed is refused")
	}
	r, body := readRequest(t, file)
	s, err := sigv4.Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	p := sigv4.Policy{Service: context.Service}
	if err := s.Verify(r, body, context.Credentials.Secret, context.Timestamp, p); err != nil {
		t.Error(err)
	}
	if err := s.Verify(r, body, context.Credentials.Secret+"x", context.Timestamp, p); err == nil {
		t.Error("another secret verifies")
	}
}

// readRequest reads what no server would: paths with spaces in them.
func readRequest(t *testing.T, file string) (*http.Request, []byte) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(bytes.NewReader(append(text, "\n\n"...)))
	line, err := in.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	first, last := strings.IndexByte(line, ' '), strings.LastIndexByte(line, ' ')
	header, err := textproto.NewReader(in).ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{
		Method: line[:first], RequestURI: line[first+1 : last], URL: &url.URL{}, Host: header.Get("Host"), Header: http.Header(header),
	}
	return r, bytes.TrimRight(body, "\n")
}
