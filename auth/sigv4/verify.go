package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Skew is how far the clock of a client may be off.
const Skew = 5 * time.Minute

// A Policy is what a service asks of signatures.
type Policy struct {
	// Service is its name in the scope of a key: "lambda", "execute-api".
	Service string
	// AnyBody accepts signatures that do not cover the body (UNSIGNED-PAYLOAD).
	AnyBody bool
	// EncodeOnce is for services that encode the path once, as S3 does.
	EncodeOnce bool
	// RawPath accepts the path as it stands in the request too, as curl 7 signs it,
	// unless it has an escaped percent sign: no signature is good for two paths.
	RawPath bool
}

// Verify reports why the request is not one that the owner of the secret signed
// for the service, at about now; nil if it is. r is the request that Parse read,
// body all of its body. It changes neither, and is safe for concurrent use.
func (s *Signature) Verify(r *http.Request, body []byte, secret string, now time.Time, p Policy) error {
	if s.Service != p.Service {
		return refused(Wrong, "Credential should be scoped to correct service: '"+p.Service+"'.")
	}
	if err := s.inTime(now); err != nil {
		return err
	}
	if err := s.allSigned(r); err != nil {
		return err
	}
	digest, err := payloadHash(r, body, p.AnyBody)
	if err != nil {
		return err
	}
	path, rawQuery := target(r)
	query, err := canonicalQuery(rawQuery, s.Presigned)
	if err != nil {
		return err
	}
	headers, ok := canonicalHeaders(r, s.headers)
	if !ok {
		return errWrong()
	}
	rest := "\n" + query + "\n" + headers + "\n" + strings.Join(s.headers, ";") + "\n" + digest
	key := signingKey(secret, s.day, s.Region, s.Service)
	for _, path := range canonicalPaths(path, p) {
		if hmac.Equal([]byte(s.mac), []byte(s.sign(key, r.Method+"\n"+path+rest))) {
			return nil
		}
	}
	return errWrong()
}

// inTime compares the signature's time with now. The texts are those that SDKs
// look into for the server's clock.
func (s *Signature) inTime(now time.Time) error {
	now = now.UTC()
	at, today := s.Time.Format(timeForm), now.Format(timeForm)
	if early := now.Add(Skew); s.Time.After(early) {
		return refused(Early, fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + 5 min.)", at, early.Format(timeForm), today))
	}
	if s.expires > 0 {
		if end := s.Time.Add(s.expires); end.Before(now) {
			return refused(Expired, fmt.Sprintf("Signature expired: %s is now earlier than %s", end.Format(timeForm), today))
		}
		return nil
	}
	if late := now.Add(-Skew); s.Time.Before(late) {
		return refused(Expired, fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - 5 min.)", at, late.Format(timeForm), today))
	}
	return nil
}

// allSigned asks that no header which means something to AWS's services was
// added on the way.
func (s *Signature) allSigned(r *http.Request) error {
	for name := range r.Header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") && lower != "x-amz-cf-id" && !slices.Contains(s.headers, lower) {
			// X-Amz-Date is the time that is signed anyway.
			if lower == "x-amz-date" && !s.Presigned {
				continue
			}
			return refused(Wrong, "There were headers present in the request which were not signed: "+lower)
		}
	}
	return nil
}

// payloadHash is what the client says the body's hash is, if that is true.
func payloadHash(r *http.Request, body []byte, anyBody bool) (string, error) {
	sum := sha256.Sum256(body)
	actual := hex.EncodeToString(sum[:])
	given := r.Header.Values("X-Amz-Content-Sha256")
	switch {
	case len(given) == 0:
		return actual, nil
	case len(given) > 1:
		return "", errIncomplete("X-Amz-Content-Sha256 comes more than once.")
	case given[0] == "UNSIGNED-PAYLOAD" && anyBody:
		return given[0], nil
	case given[0] == "UNSIGNED-PAYLOAD" || strings.HasPrefix(given[0], "STREAMING-"):
		return "", refused(Wrong, "X-Amz-Content-Sha256 must be the SHA-256 of the body: signatures that do not cover it are not accepted.")
	case given[0] != actual:
		return "", refused(Wrong, "The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	return actual, nil
}

// sign signs a canonical request.
func (s *Signature) sign(key []byte, request string) string {
	hashed := sha256.Sum256([]byte(request))
	scope := s.day + "/" + s.Region + "/" + s.Service + "/" + terminator
	text := algorithm + "\n" + s.Time.Format(timeForm) + "\n" + scope + "\n" + hex.EncodeToString(hashed[:])
	return hex.EncodeToString(mac(key, text))
}

// signingKey narrows a secret to a day, region and service.
func signingKey(secret, day, region, service string) []byte {
	key := mac([]byte("AWS4"+secret), day)
	for _, part := range []string{region, service, terminator} {
		key = mac(key, part)
	}
	return key
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
