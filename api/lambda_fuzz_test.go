package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// FuzzInvoke: whatever is sent from a network that needs no signature, the answer
// is one that SDKs can read, and only what was published is a success.
func FuzzInvoke(f *testing.F) {
	f.Add("/2015-03-31/functions/f/invocations", hello, "")
	f.Add("/p/2015-03-31/functions/arn%3Aaws%3Alambda%3Ar%3A1%3Afunction%3An%3A1/invocations", `{"channel":"c","event":"hotsock.channelStorageSet","key":"k","store":-1}`, "Event")
	f.Add("/2015-03-31/functions/a:b:c/invocations", `{"channel":"c","event":"hotsock.messageReaction","data":{"messageId":"0000000001000G000000000001","reaction":"x","action":"add","uid":"u"}}`, "RequestResponse")
	f.Add("/2015-03-31/functions/1:function:n/invocations", `{"channel":"c","event":"e","scheduleExpression":"at(2030-01-01T00:00:00)"}`, "DryRun")
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, path, body, kind string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || u.Host != "" || !strings.Contains(u.EscapedPath(), "/2015-03-31/functions/") {
			return
		}
		r := httptest.NewRequest(http.MethodPost, "http://two.example/", strings.NewReader(body))
		r.URL, r.RequestURI, r.RemoteAddr, r.Host = u, path, "10.1.2.3:4", "two.example"
		r.Header.Set("X-Amz-Invocation-Type", kind)
		w.hub.all, w.hub.apps, *w.stored = nil, nil, stored{}
		rec := httptest.NewRecorder()
		w.lambda.ServeHTTP(rec, r)
		done := len(w.hub.all) + len(w.stored.entries) + len(w.stored.reactions) + len(w.stored.later)/2
		success := (rec.Code == 200 || rec.Code == 202) && rec.Header().Get("X-Amz-Function-Error") == ""
		if success != (done == 1) || done > 1 {
			t.Fatalf("%s %s %q: %d %s, and %d were done", path, body, kind, rec.Code, rec.Body, done)
		}
		if rec.Body.Len() > 0 && !json.Valid(rec.Body.Bytes()) {
			t.Fatalf("the answer is not JSON: %s", rec.Body)
		}
		if rec.Code >= 400 && rec.Header().Get("X-Amzn-Errortype") == "" || rec.Code >= 500 {
			t.Fatalf("%s %s %q: %d %v", path, body, kind, rec.Code, rec.Header())
		}
	})
}
