package sigv4_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth/sigv4"
)

const secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

var (
	signedOn = time.Date(2026, 11, 20, 23, 59, 30, 0, time.UTC)
	lambda   = sigv4.Policy{Service: "lambda"}
)

// A draft is a request to be signed.
type draft struct {
	method, url, body string
	header            http.Header
	token             string
	presign           bool
	service           string
	unsignedBody      bool
}

// sign signs a draft with the SDK, and returns it as a server reads it.
func (d draft) sign(t testing.TB) (*http.Request, []byte) {
	t.Helper()
	r, err := http.NewRequest(d.method, d.url, strings.NewReader(d.body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range d.header {
		r.Header[name] = values
	}
	sum := sha256.Sum256([]byte(d.body))
	digest := hex.EncodeToString(sum[:])
	if d.unsignedBody {
		digest = "UNSIGNED-PAYLOAD"
		r.Header.Set("X-Amz-Content-Sha256", digest)
	}
	service := d.service
	if service == "" {
		service = "lambda"
	}
	keys := aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: secret, SessionToken: d.token}
	if d.presign {
		signed, _, err := v4.NewSigner().PresignHTTP(context.Background(), keys, r, digest, service, "eu-west-1", signedOn)
		if err != nil {
			t.Fatal(err)
		}
		if r, err = http.NewRequest(d.method, signed, strings.NewReader(d.body)); err != nil {
			t.Fatal(err)
		}
	} else if err := v4.NewSigner().SignHTTP(context.Background(), keys, r, digest, service, "eu-west-1", signedOn); err != nil {
		t.Fatal(err)
	}
	return arrive(t, r)
}

// arrive sends a request over the wire, and reads it as a server does.
func arrive(t testing.TB, r *http.Request) (*http.Request, []byte) {
	t.Helper()
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got, body
}

func verify(r *http.Request, body []byte, secret string, now time.Time, p sigv4.Policy) error {
	s, err := sigv4.Parse(r)
	if err != nil {
		return err
	}
	return s.Verify(r, body, secret, now, p)
}

func reason(err error) string {
	var e *earshot.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// wants checks an error's reason, "" for none.
func wants(t *testing.T, err error, want string) {
	t.Helper()
	if reason(err) != want || (err == nil) != (want == "") {
		t.Errorf("got %v, want %q", err, want)
	}
	if want == "" {
		return
	}
	if earshot.CodeOf(err) != earshot.Unauthenticated || sigv4.Exception(want) == "" || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v, %q", err, sigv4.Exception(want))
	}
}

func invoke() draft {
	return draft{
		method: "POST", url: "http://rt.example.com:8080/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A1%3Afunction%3Aa%2Fb/invocations",
		body: `{"a":1}`, header: http.Header{"X-Amz-Invocation-Type": {"Event"}},
	}
}

func TestVerifiesWhatTheSDKSigns(t *testing.T) {
	for name, change := range map[string]func(*draft){
		"as it is":          func(*draft) {},
		"session token":     func(d *draft) { d.token = "token/with+odd=letters" },
		"no path":           func(d *draft) { d.url = "http://rt.example.com" },
		"slash at the end":  func(d *draft) { d.url = "http://rt.example.com/a/b/" },
		"dots":              func(d *draft) { d.url = "http://rt.example.com/a/./b/../c" },
		"empty segments":    func(d *draft) { d.url = "http://rt.example.com//a///b" },
		"escapes":           func(d *draft) { d.url = "http://rt.example.com/prod/@connections/L0SM9cOFvHcCIhw%3D/%e4%2f*()!'" },
		"UTF-8 path":        func(d *draft) { d.url = "http://rt.example.com/%E2%9C%93/☃" },
		"duplicate keys":    func(d *draft) { d.url += "?b=2&a=3&b=1&a=&a" },
		"empty values":      func(d *draft) { d.url += "?&&b=&a" },
		"plus and space":    func(d *draft) { d.url += "?a+b=c+d&e%20f=g%2Bh" },
		"odd query":         func(d *draft) { d.url += "?x=%3D%26%25&y=é~-_.!*'()" },
		"keys and case":     func(d *draft) { d.url += "?Param2=v&Param1=v&param1=w&%61=1" },
		"several values":    func(d *draft) { d.header["X-Many"] = []string{"b", " a  a ", "", "c"} },
		"spaces in a value": func(d *draft) { d.header.Set("X-Spaced", "  a   b\t c  ") },
		"empty value":       func(d *draft) { d.header.Set("X-Empty", "") },
		"no body":           func(d *draft) { d.body = "" },
		"binary body":       func(d *draft) { d.body = "\x00\xff\n\r" },
		"GET":               func(d *draft) { d.method, d.body = "GET", "" },
		"presigned":         func(d *draft) { d.presign = true; d.url += "?X-Amz-Expires=60&Qualifier=prod" },
		"presigned, token":  func(d *draft) { d.presign, d.token = true, "a+b/c=" },
	} {
		t.Run(name, func(t *testing.T) {
			d := invoke()
			change(&d)
			r, body := d.sign(t)
			wants(t, verify(r, body, secret, signedOn.Add(time.Second), lambda), "")
			wants(t, verify(r, body, secret+"x", signedOn, lambda), sigv4.Wrong)
			wants(t, verify(r, append(body, 'x'), secret, signedOn, lambda), sigv4.Wrong)
			wants(t, verify(r, body, secret, signedOn, sigv4.Policy{Service: "execute-api"}), sigv4.Wrong)
			s, err := sigv4.Parse(r)
			if err != nil || s.KeyID != "AKID" || s.Region != "eu-west-1" || s.Service != "lambda" || !s.Time.Equal(signedOn) || s.Presigned != d.presign {
				t.Errorf("got %+v, %v", s, err)
			}
			if !sigv4.Signed(r) {
				t.Error("it does not count as signed")
			}
		})
	}
}

// TestTampering changes a signed request in every part.
func TestTampering(t *testing.T) {
	for name, change := range map[string]func(r *http.Request){
		"method":            func(r *http.Request) { r.Method = "PUT" },
		"path":              func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "function", "Function", 1) },
		"escape":            func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "%2F", "/", 1) },
		"escape's case":     func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "%2F", "%2f", 1) },
		"escaped twice":     func(r *http.Request) { r.RequestURI = strings.Replace(r.RequestURI, "%2F", "%252F", 1) },
		"query":             func(r *http.Request) { r.RequestURI += "?Qualifier=x" },
		"host":              func(r *http.Request) { r.Host = "other.example.com:8080" },
		"port":              func(r *http.Request) { r.Host = "rt.example.com" },
		"date":              func(r *http.Request) { r.Header.Set("X-Amz-Date", "20261120T235931Z") },
		"signed header":     func(r *http.Request) { r.Header.Set("X-Amz-Invocation-Type", "DryRun") },
		"header gone":       func(r *http.Request) { r.Header.Del("X-Amz-Invocation-Type") },
		"second value":      func(r *http.Request) { r.Header.Add("X-Amz-Invocation-Type", "Event") },
		"added x-amz":       func(r *http.Request) { r.Header.Set("X-Amz-Client-Context", "e30=") },
		"added token":       func(r *http.Request) { r.Header.Set("X-Amz-Security-Token", "t") },
		"another hash":      func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", strings.Repeat("0", 64)) },
		"unsigned body":     func(r *http.Request) { r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD") },
		"region":            replaced("eu-west-1", "eu-west-2"),
		"service":           replaced("lambda", "lambdA"),
		"day":               replaced("/20261120/", "/20261121/"),
		"list of headers":   replaced(";host;", ";hose;"),
		"a digit less":      func(r *http.Request) { a := r.Header["Authorization"]; a[0] = a[0][:len(a[0])-1] },
		"a digit more":      func(r *http.Request) { r.Header["Authorization"][0] += "0" },
		"another algorithm": replaced("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
	} {
		t.Run(name, func(t *testing.T) {
			r, body := invoke().sign(t)
			change(r)
			if err := verify(r, body, secret, signedOn, lambda); err == nil || earshot.CodeOf(err) != earshot.Unauthenticated {
				t.Errorf("it verifies: %v", err)
			}
		})
	}
	r, body := invoke().sign(t)
	r.Header.Set("X-Amz-Cf-Id", "from CloudFront")
	r.Header.Set("X-Amzn-Trace-Id", "Root=1-2")
	r.Header.Set("User-Agent", "changed")
	wants(t, verify(r, body, secret, signedOn, lambda), "")
}

func replaced(from, to string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
	}
}

func TestTime(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		want  string
	}{
		{0, ""},
		{sigv4.Skew, ""},
		{-sigv4.Skew, ""},
		{sigv4.Skew + time.Second, sigv4.Expired},
		{-sigv4.Skew - time.Second, sigv4.Early},
		{365 * 24 * time.Hour, sigv4.Expired},
	} {
		r, body := invoke().sign(t)
		wants(t, verify(r, body, secret, signedOn.Add(c.after), lambda), c.want)
	}
	d := invoke()
	d.presign = true
	d.url += "?X-Amz-Expires=86400"
	r, body := d.sign(t)
	wants(t, verify(r, body, secret, signedOn.Add(24*time.Hour), lambda), "")
	wants(t, verify(r, body, secret, signedOn.Add(24*time.Hour+time.Second), lambda), sigv4.Expired)
	wants(t, verify(r, body, secret, signedOn.Add(-time.Hour), lambda), sigv4.Early)
	err := verify(r, body, secret, signedOn.Add(48*time.Hour), lambda)
	if !strings.Contains(err.Error(), "Signature expired: 20261121T235930Z is now earlier than 20261122T235930Z") {
		t.Errorf("got %v", err)
	}
}

func TestUnsignedBody(t *testing.T) {
	d := invoke()
	d.unsignedBody = true
	r, body := d.sign(t)
	wants(t, verify(r, body, secret, signedOn, lambda), sigv4.Wrong)
	anyBody := sigv4.Policy{Service: "lambda", AnyBody: true}
	wants(t, verify(r, body, secret, signedOn, anyBody), "")
	wants(t, verify(r, []byte("another"), secret, signedOn, anyBody), "")
	r.Header.Set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
	wants(t, verify(r, body, secret, signedOn, anyBody), sigv4.Wrong)
	r.Header.Add("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	wants(t, verify(r, body, secret, signedOn, anyBody), sigv4.Incomplete)
}

// TestEncodeOnce: S3 encodes the path once and does not clean it.
func TestEncodeOnce(t *testing.T) {
	r, err := http.NewRequest("GET", "http://s3.example.com/bucket/a%20b//c/../d%2Be", nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(nil)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	keys := aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: secret}
	if err := signer.SignHTTP(context.Background(), keys, r, hex.EncodeToString(sum[:]), "s3", "eu-west-1", signedOn); err != nil {
		t.Fatal(err)
	}
	got, body := arrive(t, r)
	wants(t, verify(got, body, secret, signedOn, sigv4.Policy{Service: "s3", EncodeOnce: true}), "")
	wants(t, verify(got, body, secret, signedOn, sigv4.Policy{Service: "s3"}), sigv4.Wrong)
}

// TestRawPath: curl 7 signs the path as it stands in the request. A signature is not
// good for another path, whose encoding the signed one looks like.
func TestRawPath(t *testing.T) {
	raw := sigv4.Policy{Service: "execute-api", RawPath: true}
	path := "/prod/@connections/L0SM9cOFvHcCIhw%3D"
	r, body := signRaw(t, path)
	wants(t, verify(r, body, secret, signedOn, raw), "")
	wants(t, verify(r, body, secret, signedOn, sigv4.Policy{Service: "execute-api"}), sigv4.Wrong)
	r.RequestURI = "/prod/@connections/L0SM9cOFvHcCIhw="
	wants(t, verify(r, body, secret, signedOn, raw), sigv4.Wrong)

	for _, moved := range []string{path, "/prod/%40connections/L0SM9cOFvHcCIhw%253D"} {
		r, body = draft{method: "POST", url: "http://example.com" + path, service: "execute-api"}.sign(t)
		want := ""
		if r.RequestURI = moved; moved != path {
			want = sigv4.Wrong
		}
		wants(t, verify(r, body, secret, signedOn, raw), want)
	}
}

// signRaw signs a POST for execute-api without encoding its path.
func signRaw(t *testing.T, path string) (*http.Request, []byte) {
	t.Helper()
	r, err := http.NewRequest("POST", "http://example.com"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(nil)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	keys := aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: secret}
	if err := signer.SignHTTP(context.Background(), keys, r, hex.EncodeToString(sum[:]), "execute-api", "eu-west-1", signedOn); err != nil {
		t.Fatal(err)
	}
	return arrive(t, r)
}

func TestParseRefuses(t *testing.T) {
	mac := strings.Repeat("0", 64)
	good := "AWS4-HMAC-SHA256 Credential=AKID/20261120/eu-west-1/lambda/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + mac
	query := "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20261120%2Feu-west-1%2Flambda%2Faws4_request" +
		"&X-Amz-Date=20261120T235930Z&X-Amz-SignedHeaders=host&X-Amz-Signature=" + mac
	for _, c := range []struct {
		header, query, want string
	}{
		{good, "", ""},
		{"", query, ""},
		{"", query + "&X-Amz-Expires=604800", ""},
		{strings.ReplaceAll(good, ", ", ","), "", ""},
		{"", "", sigv4.Missing},
		{"Bearer x", "", sigv4.Missing},
		{"", "a=X-Amz-", sigv4.Missing},
		{good, query, sigv4.Incomplete},
		{"AWS4-HMAC-SHA256", "", sigv4.Incomplete},
		{"AWS4-HMAC-SHA256 ", "", sigv4.Incomplete},
		{"AWS4-HMAC-SHA256 Credential", "", sigv4.Incomplete},
		{"AWS4-HMAC-SHA512" + good[16:], "", sigv4.Incomplete},
		{good + ", Signature=" + mac, "", sigv4.Incomplete},
		{strings.Replace(good, "Signature", "signature", 1), "", sigv4.Incomplete},
		{strings.Replace(good, "AKID/", "AK/ID/", 1), "", sigv4.Incomplete},
		{strings.Replace(good, "AKID/", "/", 1), "", sigv4.Incomplete},
		{strings.Replace(good, "aws4_request", "aws5_request", 1), "", sigv4.Wrong},
		{strings.Replace(good, "20261120", "20261119", 1), "", sigv4.Wrong},
		{strings.Replace(good, "host;", "", 1), "", sigv4.Incomplete},
		{strings.Replace(good, "host;", "Host;", 1), "", sigv4.Incomplete},
		{strings.Replace(good, "host;", "host;host;", 1), "", sigv4.Incomplete},
		{strings.Replace(good, "host;", "x-b;host;", 1), "", sigv4.Incomplete},
		{strings.Replace(good, "host;", ";host;", 1), "", sigv4.Incomplete},
		{strings.Replace(good, mac, mac[1:], 1), "", sigv4.Incomplete},
		{strings.Replace(good, mac, mac[1:]+"A", 1), "", sigv4.Incomplete},
		{strings.Replace(good, mac, mac[1:]+"g", 1), "", sigv4.Incomplete},
		{"", query + "&X-Amz-Signature=" + mac, sigv4.Incomplete},
		{"", query + "&X-Amz-Date=20261120T235930Z", sigv4.Incomplete},
		{"", query + "&X-Amz-Expires=0", sigv4.Incomplete},
		{"", query + "&X-Amz-Expires=604801", sigv4.Incomplete},
		{"", query + "&X-Amz-Expires=60&X-Amz-Expires=61", sigv4.Incomplete},
		{"", query + "&%zz", sigv4.Incomplete},
		{"", strings.Replace(query, "T235930Z", "", 1), sigv4.Incomplete},
		{"", strings.Replace(query, "SHA256", "SHA1", 1), sigv4.Incomplete},
		{"", "X-Amz-Signature=" + mac, sigv4.Incomplete},
	} {
		r, err := http.NewRequest("POST", "http://h/p?"+c.query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
			r.Header.Set("X-Amz-Date", "20261120T235930Z")
		}
		_, err = sigv4.Parse(r)
		if reason(err) != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%s ? %s: got %v, want %q", c.header, c.query, err, c.want)
		}
		if sigv4.Signed(r) != (c.want != sigv4.Missing) {
			t.Errorf("%s ? %s: Signed is wrong", c.header, c.query)
		}
	}
}

func TestDates(t *testing.T) {
	form := "AWS4-HMAC-SHA256 Credential=AKID/20261120/r/s/aws4_request, SignedHeaders=HEADERS, Signature=" + strings.Repeat("0", 64)
	for _, c := range []struct {
		signed string
		header http.Header
		ok     bool
	}{
		{"host;x-amz-date", http.Header{"X-Amz-Date": {"20261120T235930Z"}}, true},
		{"date;host", http.Header{"Date": {"Fri, 20 Nov 2026 23:59:30 GMT"}}, true},
		{"date;host", http.Header{"Date": {"20261120T235930Z"}}, true},
		{"host", http.Header{"Date": {"Fri, 20 Nov 2026 23:59:30 GMT"}}, false},
		{"date;host", http.Header{"Date": {"today"}}, false},
		{"host;x-amz-date", http.Header{"X-Amz-Date": {"2026-11-20T23:59:30Z"}}, false},
		{"host;x-amz-date", http.Header{"X-Amz-Date": {"20261120T235930Z", "20261120T235930Z"}}, false},
		{"host;x-amz-date", http.Header{}, false},
	} {
		r := &http.Request{Method: "GET", RequestURI: "/", Header: c.header}
		r.Header.Set("Authorization", strings.Replace(form, "HEADERS", c.signed, 1))
		s, err := sigv4.Parse(r)
		if (err == nil) != c.ok || c.ok && !s.Time.Equal(signedOn) {
			t.Errorf("%s %v: got %+v, %v", c.signed, c.header, s, err)
		}
	}
	r := &http.Request{RequestURI: "/", Header: http.Header{"Authorization": {form, form}}}
	if _, err := sigv4.Parse(r); reason(err) != sigv4.Incomplete {
		t.Errorf("two headers: %v", err)
	}
}

// FuzzParse: no request makes the verifier panic, and none verifies by chance.
func FuzzParse(f *testing.F) {
	mac := strings.Repeat("0", 64)
	f.Add("POST", "/a/%2F/../b?x=1&X-Amz-Date=1", "AWS4-HMAC-SHA256 Credential=AKID/20261120/eu-west-1/lambda/aws4_request, SignedHeaders=host;x-amz-date, Signature="+mac, "20261120T235930Z", "v")
	f.Add("GET", "http://h", "", "", "")
	f.Add("GET", "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20261120%2Fr%2Flambda%2Faws4_request&X-Amz-Date=20261120T235930Z&X-Amz-SignedHeaders=host&X-Amz-Signature="+mac, "", "", "")
	f.Fuzz(func(t *testing.T, method, target, authorization, date, value string) {
		r := &http.Request{Method: method, RequestURI: target, Host: value, Header: http.Header{"X-V": {value}}}
		if target == "" {
			r.RequestURI = "/"
		}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
			r.Header.Set("X-Amz-Date", date)
		}
		s, err := sigv4.Parse(r)
		if (s == nil) == (err == nil) {
			t.Fatalf("got %v and %v", s, err)
		}
		if err == nil {
			err = s.Verify(r, []byte(value), secret, s.Time, sigv4.Policy{Service: s.Service})
		}
		if err == nil {
			t.Fatal("it verifies")
		}
		if earshot.CodeOf(err) != earshot.Unauthenticated || sigv4.Exception(reason(err)) == "" {
			t.Fatalf("got %v", err)
		}
	})
}

// FuzzSigned: what the SDK signs verifies, whatever it is, and one changed byte
// of the body does not.
func FuzzSigned(f *testing.F) {
	f.Add("a/%2F/b c", "x=1&x=&y", "a  b", "body", false)
	f.Add("é//..", "+=%2B", "", "", true)
	f.Fuzz(func(t *testing.T, path, query, value, body string, presign bool) {
		if len(path)+len(query)+len(value) > 2000 {
			return
		}
		d := draft{method: "POST", url: "http://h.example/", body: body, presign: presign, header: http.Header{}}
		r, err := http.NewRequest("POST", d.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path += path
		r.URL.RawQuery = wellFormed(query)
		d.url = r.URL.String()
		if v := strings.Map(printable, value); v != "" && !presign {
			d.header.Set("X-Value", v)
		}
		got, sent := d.sign(t)
		if err := verify(got, sent, secret, signedOn, lambda); err != nil {
			t.Fatalf("%s %q: %v", got.RequestURI, got.Header, err)
		}
		if err := verify(got, append(sent, 0), secret, signedOn, lambda); err == nil {
			t.Fatal("another body verifies")
		}
	})
}

// printable drops what no header may have.
func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}

// wellFormed makes of any text a query that Go's own parser reads in full: what
// that drops, the SDK does not sign.
func wellFormed(text string) string {
	var kept []string
	for part := range strings.SplitSeq(text, "&") {
		key, value, _ := strings.Cut(part, "=")
		kept = append(kept, "k"+hex.EncodeToString([]byte(key))+"%20="+hex.EncodeToString([]byte(value))+"+%2b")
	}
	return strings.Join(kept, "&")
}

// BenchmarkVerify is what a signature costs, of a message of 1 KB.
func BenchmarkVerify(b *testing.B) {
	d := invoke()
	d.body = strings.Repeat("x", 1024)
	r, body := d.sign(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := verify(r, body, secret, signedOn, lambda); err != nil {
			b.Fatal(err)
		}
	}
}
