package faults

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	management "github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"github.com/coder/websocket"
)

const (
	posted  = 1000 // connections, half of them on each node
	posters = 8    // requests at once
	toAll   = 20   // publishes to all connections
)

// A backend posts to the connections of some nodes, and publishes.
type backend struct {
	urls, keys []string
	sdk        []*management.Client
	http       *http.Client
}

// newBackend makes the unmodified SDK, and a plain client, for each of the nodes.
// Both use the same connections.
func newBackend(urls, keys []string) *backend {
	b := &backend{urls: urls, keys: keys, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: posters}}}
	for _, url := range urls {
		b.sdk = append(b.sdk, management.New(management.Options{
			Region: "us-east-1", BaseEndpoint: aws.String(url + "/prod"), HTTPClient: b.http,
			Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "SECRETKEYEXAMPLE", ""),
		}))
	}
	return b
}

func (b *backend) post(ctx context.Context, node int, id, text string) error {
	_, err := b.sdk[node].PostToConnection(ctx, &management.PostToConnectionInput{ConnectionId: &id, Data: []byte(text)})
	return err
}

func (b *backend) publish(ctx context.Context, node int, channel, text string) error {
	body := fmt.Appendf(nil, `{"channel":%q,"event":"e","data":%q}`, channel, text)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, b.urls[node]+"/publish", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+b.keys[node])
	resp, err := b.http.Do(r)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("a publish was answered %d %s", resp.StatusCode, answer)
	}
	return err
}

// each does something for every connection, some at once, and returns what each
// cost.
func each(t *testing.T, do func(i int) error) time.Duration {
	t.Helper()
	began := time.Now()
	var working sync.WaitGroup
	for worker := range posters {
		working.Go(func() {
			for i := worker; i < posted; i += posters {
				if err := do(i); err != nil {
					t.Errorf("connection %d: %v", i, err)
				}
			}
		})
	}
	working.Wait()
	return time.Since(began) / posted
}

// TestPostsToTwoNodes: a post to each of 1,000 connections on two nodes, from both,
// with AWS's own SDK: each hears what is for it, once, and nothing else. The figures
// are what a post costs, of which the SDK needs a part to sign it, beside a publish
// that one connection hears, and beside one that all hear.
func TestPostsToTwoNodes(t *testing.T) {
	l, engine := listen(t), fmt.Sprintf("url = %q", startNATS(t))
	nodes := []*server{serveAPI(t, engine, l), serveAPI(t, engine, l)}
	conns, ids := admit(t, l, nodes)
	b := newBackend([]string{nodes[0].dev.URL, nodes[1].dev.URL}, []string{nodes[0].dev.Key, nodes[1].dev.Key})
	defer b.http.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	other := func(i int) int { return i / 2 % 2 } // half of the connections are on the other node
	post := each(t, func(i int) error { return b.post(ctx, other(i), ids[i], fmt.Sprint("post ", i)) })
	own := each(t, func(i int) error { return b.publish(ctx, other(i), fmt.Sprint("own.", i), fmt.Sprint("own ", i)) })
	began := time.Now()
	for n := range toAll {
		if err := b.publish(ctx, n%2, "all", fmt.Sprint("all ", n)); err != nil {
			t.Fatal(err)
		}
	}
	for i, ws := range conns {
		want := []string{fmt.Sprint("post ", i), fmt.Sprintf(`"own %d"`, i)} // what is published is JSON
		for n := range toAll {
			want = append(want, fmt.Sprintf(`"all %d"`, n))
		}
		for _, text := range want {
			if _, heard, err := ws.Read(ctx); err != nil || string(heard) != text {
				t.Fatalf("connection %d heard %q %v, want %q", i, heard, err, text)
			}
		}
	}
	all := time.Since(began) / (posted * toAll)

	sdk := newBackend([]string{"http://nobody"}, []string{""})
	sdk.http.Transport = nowhere{}
	alone := each(t, func(i int) error { return sdk.post(ctx, 0, ids[i], fmt.Sprint("post ", i)) })
	t.Logf("to each of %d connections on two nodes: a post %v (%v of it the SDK's own), a publish %v; a publish to all %v for each", posted, post, alone, own, all)
}

// nowhere answers requests that go nowhere.
type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
}

// admit connects the clients, to the nodes in turn. Each joins a channel of its own
// and one of all.
func admit(t *testing.T, l *listener, nodes []*server) (conns []*websocket.Conn, ids []string) {
	t.Helper()
	conns, ids = make([]*websocket.Conn, posted), make([]string, posted)
	each(t, func(i int) (err error) {
		conns[i], _, err = websocket.Dial(t.Context(), fmt.Sprintf("%s?Name=%d&Join=own.%d,all", nodes[i%2].dev.WS, i, i), nil)
		return err
	})
	t.Cleanup(func() {
		for _, ws := range conns {
			if ws != nil {
				_ = ws.CloseNow()
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range ids {
		ids[i] = l.began[strconv.Itoa(i)]
	}
	return conns, ids
}
