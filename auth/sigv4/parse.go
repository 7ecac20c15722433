package sigv4

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	// timeForm is how X-Amz-Date is written, dayForm the date of a scope.
	timeForm = "20060102T150405Z"
	dayForm  = "20060102"
	// maxHeaders bounds how many headers may be signed, maxExpires how long a
	// signature in the query may last.
	maxHeaders = 100
	maxExpires = 7 * 24 * time.Hour
)

// A Signature is what a request says of who signed it. Nothing of it is true
// before Verify has said so.
type Signature struct {
	// KeyID names the access key.
	KeyID string
	// Region and Service are what the key was narrowed to.
	Region, Service string
	// Time is when it was signed, to the second.
	Time time.Time
	// Presigned says that the signature came in the query.
	Presigned bool

	day     string
	expires time.Duration // presigned; 0 if nothing was said
	headers []string      // signed ones, in lower case and order
	mac     string        // 64 hexadecimal digits
}

// Parse reads the signature of a request as a server got it: the header first,
// then the query. It fails with the reason Missing if there is none, and with
// Incomplete if it is not of the form asked for.
func Parse(r *http.Request) (*Signature, error) {
	given, inHeader := header(r)
	query, inQuery, err := presigned(r)
	switch {
	case err != nil:
		return nil, err
	case inHeader && inQuery:
		return nil, errIncomplete("The request is signed in the Authorization header and in the query; one of them is needed.")
	case inHeader:
		return parseHeader(r, given)
	case inQuery:
		return parseQuery(query)
	}
	return nil, errMissing()
}

// Signed reports whether a request carries anything that is meant as a signature.
func Signed(r *http.Request) bool {
	_, inHeader := header(r)
	_, inQuery, err := presigned(r)
	return inHeader || inQuery || err != nil
}

// header returns the Authorization header if its scheme is one of AWS4's.
func header(r *http.Request) (string, bool) {
	for _, v := range r.Header.Values("Authorization") {
		if strings.HasPrefix(v, "AWS4-") {
			return v, true
		}
	}
	return "", false
}

func presigned(r *http.Request) (url.Values, bool, error) {
	_, raw := target(r)
	if !strings.Contains(raw, "X-Amz-") {
		return nil, false, nil
	}
	pairs, err := parsePairs(raw)
	if err != nil {
		return nil, false, err
	}
	all := url.Values{}
	for _, p := range pairs {
		all.Add(p.key, p.value)
	}
	return all, all.Has("X-Amz-Algorithm") || all.Has("X-Amz-Signature"), nil
}

func parseHeader(r *http.Request, given string) (*Signature, error) {
	if len(r.Header.Values("Authorization")) > 1 {
		return nil, errIncomplete("The request has more than one Authorization header.")
	}
	scheme, rest, _ := strings.Cut(given, " ")
	if scheme != algorithm {
		return nil, errIncomplete("The algorithm of the Authorization header is not " + algorithm + ".")
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := parts[name]; !ok || twice {
			return nil, errIncomplete("A part of the Authorization header is not a key=value pair, or comes twice.")
		}
		parts[name] = value
	}
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if parts[name] == "" {
			return nil, errIncomplete("Authorization header requires '" + name + "' parameter.")
		}
	}
	s := &Signature{mac: parts["Signature"]}
	var err error
	if s.Time, err = signedAt(r, strings.Split(parts["SignedHeaders"], ";")); err != nil {
		return nil, err
	}
	if err := s.complete(parts["Credential"], parts["SignedHeaders"]); err != nil {
		return nil, err
	}
	return s, nil
}

// signedAt is the time of X-Amz-Date, or of Date, which must then be signed: of
// it only the second takes part in the signature otherwise.
func signedAt(r *http.Request, signed []string) (time.Time, error) {
	dates := r.Header.Values("X-Amz-Date")
	if len(dates) == 1 {
		at, err := time.Parse(timeForm, dates[0])
		if err != nil {
			return at, errIncomplete("X-Amz-Date must be in the ISO 8601 basic format, as in 20060102T150405Z.")
		}
		return at, nil
	}
	if len(dates) == 0 && slices.Contains(signed, "date") {
		date := r.Header.Get("Date")
		if at, err := http.ParseTime(date); err == nil {
			return at.UTC(), nil
		}
		if at, err := time.Parse(timeForm, date); err == nil {
			return at, nil
		}
	}
	return time.Time{}, errIncomplete("Authorization header requires existence of either a 'X-Amz-Date' or a signed 'Date' header.")
}

func parseQuery(q url.Values) (*Signature, error) {
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Signature", "X-Amz-SignedHeaders"} {
		if len(q[name]) != 1 || q.Get(name) == "" {
			return nil, errIncomplete("AWS query-string parameters must include '" + name + "', once.")
		}
	}
	if q.Get("X-Amz-Algorithm") != algorithm {
		return nil, errIncomplete("X-Amz-Algorithm is not " + algorithm + ".")
	}
	s := &Signature{Presigned: true, mac: q.Get("X-Amz-Signature")}
	var err error
	if s.Time, err = time.Parse(timeForm, q.Get("X-Amz-Date")); err != nil {
		return nil, errIncomplete("X-Amz-Date must be in the ISO 8601 basic format, as in 20060102T150405Z.")
	}
	if given := q["X-Amz-Expires"]; given != nil {
		n, err := strconv.Atoi(given[0])
		s.expires = time.Duration(n) * time.Second
		if err != nil || len(given) > 1 || n < 1 || n > int(maxExpires/time.Second) {
			return nil, errIncomplete("X-Amz-Expires must be a number of seconds from 1 to 604800.")
		}
	}
	if err := s.complete(q.Get("X-Amz-Credential"), q.Get("X-Amz-SignedHeaders")); err != nil {
		return nil, err
	}
	return s, nil
}

// complete reads what header and query have in common.
func (s *Signature) complete(credential, headers string) error {
	scope := strings.Split(credential, "/")
	if len(scope) != 5 || slices.Contains(scope, "") {
		return errIncomplete("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term.")
	}
	s.KeyID, s.day, s.Region, s.Service = scope[0], scope[1], scope[2], scope[3]
	if scope[4] != terminator {
		return refused(Wrong, "Credential should be scoped with a valid terminator: '"+terminator+"'.")
	}
	if s.day != s.Time.Format(dayForm) {
		return refused(Wrong, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.")
	}
	if raw, err := hex.DecodeString(s.mac); err != nil || len(raw) != 32 || s.mac != strings.ToLower(s.mac) {
		return errIncomplete("Signature must be 64 hexadecimal digits in lower case.")
	}
	s.headers = strings.Split(headers, ";")
	if len(s.headers) > maxHeaders || !rising(s.headers) {
		return errIncomplete("SignedHeaders must be a sorted list of different names in lower case.")
	}
	if !slices.Contains(s.headers, "host") {
		return errIncomplete("'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	return nil
}

// rising reports whether names are in order, each once, none empty and all in
// lower case.
func rising(names []string) bool {
	last := ""
	for _, n := range names {
		if n <= last || n != strings.ToLower(n) {
			return false
		}
		last = n
	}
	return true
}
