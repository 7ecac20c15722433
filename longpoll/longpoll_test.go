package longpoll_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/engine/mem"
	"github.com/earshot-io/earshot/hub"
	"github.com/earshot-io/earshot/longpoll"
	"github.com/earshot-io/earshot/proto"
)

// echo is a protocol that sends back what it is sent; "refuse" in the URL is
// refused before, "no" in the dialogue's first frames.
type echo struct {
	ends chan hub.End
	work chan struct{} // Handle waits for it, if the message is "wait"
}

func (e *echo) Admit(_ context.Context, r *proto.Request) (proto.Admission, error) {
	if r.HTTP.URL.Path == "/refuse" {
		return proto.Admission{}, &proto.Refusal{Status: http.StatusTeapot}
	}
	user := r.HTTP.URL.RawQuery
	return proto.Admission{
		App: &earshot.App{Slug: "app"}, Identity: &earshot.Identity{App: "app", UID: user, HasUID: user != ""}, State: r.HTTP.URL.Path,
		Header: http.Header{"X-Echo": {"yes"}},
	}, nil
}

func (e *echo) Open(_ context.Context, c *hub.Conn, a proto.Admission) (proto.Session, error) {
	if a.State == "/no" {
		return nil, earshot.Errorf(earshot.Forbidden, "no")
	}
	return &echoSession{e, c}, c.Send(hub.TextFrame([]byte("hello")))
}

func (e *echo) Farewell(err error) (*hub.Frame, int, string) {
	if err == nil {
		return nil, 1000, ""
	}
	return hub.TextFrame([]byte("bye")), 4000 + int(earshot.CodeOf(err)), earshot.AsError(err).Text
}

type echoSession struct {
	*echo
	conn *hub.Conn
}

func (s *echoSession) Handle(_ context.Context, m hub.Input) error {
	if string(m.Data) == "wait" {
		<-s.work
	}
	return s.conn.Send(hub.TextFrame(m.Data))
}

func (s *echoSession) Close(end hub.End) { s.ends <- end }

// A bench is a server in a synctest bubble.
type bench struct {
	*testing.T
	echo   *echo
	hub    *hub.Hub
	server *longpoll.Server
}

func inBubble(t *testing.T, c longpoll.Config, test func(*bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		engine := mem.New(mem.Config{})
		h := hub.New(hub.Config{Shards: 2, QueueBytes: 1000}, engine, slog.New(slog.DiscardHandler))
		if err := h.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		e := &echo{ends: make(chan hub.End, 100), work: make(chan struct{})}
		b := &bench{T: t, echo: e, hub: h, server: longpoll.New(h, e, c)}
		test(b)
		b.server.Close()
		h.Close()
		if err := engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func (b *bench) open(path string) *longpoll.Session {
	b.Helper()
	s, err := b.server.Open(b.Context(), &proto.Request{HTTP: httptest.NewRequest(http.MethodGet, path, nil)})
	if err != nil {
		b.Fatalf("open: %v", err)
	}
	return s
}

// poll polls, and returns the frames as words.
func (b *bench) poll(s *longpoll.Session, wait time.Duration) (string, *hub.Goodbye) {
	b.Helper()
	got, err := s.Poll(b.Context(), wait)
	if err != nil {
		b.Fatalf("poll: %v", err)
	}
	var words []string
	for _, f := range got.Frames {
		words = append(words, string(f.Body))
	}
	return strings.Join(words, " "), got.End
}

func (b *bench) receive(s *longpoll.Session, words ...string) {
	b.Helper()
	var in []hub.Input
	for _, w := range words {
		in = append(in, hub.Input{Data: []byte(w)})
	}
	if err := s.Receive(b.Context(), in...); err != nil {
		b.Fatalf("receive: %v", err)
	}
}

func (b *bench) hears(s *longpoll.Session, want string) {
	b.Helper()
	if got, end := b.poll(s, 0); got != want || end != nil {
		b.Errorf("polled %q and %v, not %q", got, end, want)
	}
}

func TestPollTakesAllInOrder(t *testing.T) {
	inBubble(t, longpoll.Config{}, func(b *bench) {
		s := b.open("/")
		if s.Header().Get("X-Echo") != "yes" || b.server.Session(s.ID()) != s {
			b.Errorf("header %v, or the session is not found", s.Header())
		}
		b.receive(s, "1", "2")
		b.receive(s, "3")
		b.hears(s, "hello 1 2 3")
		b.hears(s, "")
	})
}

func TestPollTakesSoMuchAtOnce(t *testing.T) {
	inBubble(t, longpoll.Config{BatchBytes: 10}, func(b *bench) {
		s := b.open("/")
		b.receive(s, "12345", "6", "a long one is taken alone", "7", "8")
		b.hub.Conn(s.ID()).Close(earshot.Errorf(earshot.Kicked, "out"))
		b.hears(s, "hello 12345")
		b.hears(s, "6")
		b.hears(s, "a long one is taken alone")
		if got, end := b.poll(s, time.Minute); got != "7 8 bye" || end == nil {
			b.Errorf("polled %q and %v", got, end)
		}
		<-b.echo.ends
	})
}

func TestPollWaits(t *testing.T) {
	inBubble(t, longpoll.Config{}, func(b *bench) {
		s := b.open("/")
		b.hears(s, "hello")
		began := time.Now()
		if got, _ := b.poll(s, 10*time.Second); got != "" || time.Since(began) != 10*time.Second {
			b.Errorf("polled %q after %v", got, time.Since(began))
		}
		time.AfterFunc(3*time.Second, func() { _ = s.Receive(context.Background(), hub.Input{Data: []byte("late")}) })
		began = time.Now()
		if got, _ := b.poll(s, 10*time.Second); got != "late" || time.Since(began) != 3*time.Second {
			b.Errorf("polled %q after %v", got, time.Since(began))
		}
	})
}

func TestSecondPollTakesOver(t *testing.T) {
	inBubble(t, longpoll.Config{}, func(b *bench) {
		s := b.open("/")
		b.hears(s, "hello")
		first := make(chan int, 1)
		go func() {
			got, _ := s.Poll(context.Background(), time.Hour)
			first <- len(got.Frames)
		}()
		synctest.Wait()
		time.AfterFunc(time.Second, func() { _ = s.Receive(context.Background(), hub.Input{Data: []byte("late")}) })
		if got, _ := b.poll(s, 10*time.Second); got != "late" {
			b.Errorf("the second poll got %q", got)
		}
		if n := <-first; n != 0 {
			b.Errorf("the first poll got %d frames", n)
		}
	})
}

func TestRequestGivenUpTakesNothing(t *testing.T) {
	inBubble(t, longpoll.Config{}, func(b *bench) {
		s := b.open("/")
		ctx, cancel := context.WithCancel(b.Context())
		cancel()
		if got, err := s.Poll(ctx, time.Minute); !errors.Is(err, context.Canceled) || got.Frames != nil {
			b.Errorf("polled %v, %v", got, err)
		}
		b.hears(s, "hello")
	})
}

func TestUnpolledEnds(t *testing.T) {
	inBubble(t, longpoll.Config{Window: 20 * time.Second}, func(b *bench) {
		s := b.open("/")
		for range 5 {
			time.Sleep(19 * time.Second)
			_, _ = b.poll(s, 30*time.Second) // waiting longer than the window is no silence
		}
		time.Sleep(21 * time.Second)
		end := <-b.echo.ends
		if earshot.CodeOf(end.Err) != earshot.Timeout || end.Code != 4000+int(earshot.Timeout) || end.Peer {
			b.Errorf("ended as %+v", end)
		}
		if _, err := s.Poll(b.Context(), 0); earshot.CodeOf(err) != earshot.NotFound {
			b.Errorf("polled with %v", err)
		}
		if err := s.Receive(b.Context()); earshot.CodeOf(err) != earshot.NotFound {
			b.Errorf("received with %v", err)
		}
		synctest.Wait()
		if b.server.Session(s.ID()) != nil {
			b.Error("the session is still known")
		}
	})
}

func TestGoodbyeWaitsForPoll(t *testing.T) {
	inBubble(t, longpoll.Config{}, func(b *bench) {
		for _, path := range []string{"/", "/no"} {
			s := b.open(path)
			want, code := "bye", earshot.Forbidden
			if path == "/" {
				b.hub.Conn(s.ID()).Close(earshot.Errorf(earshot.Kicked, "out"))
				want, code = "hello bye", earshot.Kicked
			}
			time.Sleep(5 * time.Second)
			got, end := b.poll(s, time.Minute)
			if got != want || end == nil || end.Code != 4000+int(code) {
				b.Errorf("polled %q and %+v", got, end)
			}
		}
		if end := <-b.echo.ends; end.Peer || end.Code != 4000+int(earshot.Kicked) || end.Reason != "out" {
			b.Errorf("ended as %+v", end)
		}
	})
}

func TestLeaveWaitsForReceive(t *testing.T) {
	inBubble(t, longpoll.Config{}, func(b *bench) {
		s := b.open("/")
		go func() {
			_ = s.Receive(context.Background(), hub.Input{Data: []byte("wait")}, hub.Input{Data: []byte("after")})
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		if err := s.Receive(ctx, hub.Input{}); !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("a second receive: %v", err)
		}
		s.Leave(1001, "gone")
		synctest.Wait()
		select {
		case end := <-b.echo.ends:
			b.Errorf("told %+v while a message was handled", end)
		default:
		}
		close(b.echo.work)
		if end := <-b.echo.ends; end != (hub.End{Peer: true, Bye: true, Code: 1001, Reason: "gone"}) {
			b.Errorf("ended as %+v", end)
		}
	})
}

func TestReceiveThatTakesLong(t *testing.T) {
	inBubble(t, longpoll.Config{}, func(b *bench) {
		s := b.open("/")
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		if err := s.Receive(ctx, hub.Input{Data: []byte("wait")}, hub.Input{Data: []byte("later")}); !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("one that is not done in time: %v", err)
		}
		b.hears(s, "hello")
		close(b.echo.work)
		synctest.Wait()
		b.hears(s, "wait later")
	})
}

func TestSlowIsCut(t *testing.T) {
	inBubble(t, longpoll.Config{}, func(b *bench) {
		s := b.open("/")
		b.receive(s, strings.Repeat("x", 600), strings.Repeat("y", 600), "z")
		got, end := b.poll(s, 0)
		if got != "bye" || end == nil || end.Code != 4000+int(earshot.Slow) || b.hub.Stats().Slow != 1 {
			b.Errorf("polled %q and %+v", got, end)
		}
	})
}

// seats are places under limits: so many, and one for each user.
type seats struct {
	left  int
	users map[string]bool
}

type seat struct {
	*seats
	user string
}

func (s *seats) enter(netip.Addr) (proto.Place, error) {
	if s.left == 0 {
		return nil, earshot.Errorf(earshot.Unavailable, "full")
	}
	s.left--
	return &seat{seats: s}, nil
}

func (s *seat) Known(app, uid string) error {
	if s.users[uid] {
		return earshot.Errorf(earshot.Limited, "%s has one in %s", uid, app)
	}
	s.user, s.users[uid] = uid, true
	return nil
}

func (s *seat) Leave() {
	s.left++
	delete(s.users, s.user)
}

func TestPlaces(t *testing.T) {
	all := &seats{left: 2, users: map[string]bool{}}
	inBubble(t, longpoll.Config{Enter: all.enter}, func(b *bench) {
		open := func(path string) (*longpoll.Session, error) {
			return b.server.Open(b.Context(), &proto.Request{HTTP: httptest.NewRequest(http.MethodGet, path, nil)})
		}
		ann, err := open("/?ann")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := open("/?ann"); earshot.CodeOf(err) != earshot.Limited || all.left != 1 {
			b.Errorf("a second one of ann's: %v, %d are left", err, all.left)
		}
		if _, err := open("/refuse"); err == nil || all.left != 1 {
			b.Errorf("refused with %v, %d are left", err, all.left)
		}
		if _, err := open("/"); err != nil || all.left != 0 {
			b.Errorf("a second one: %v, %d are left", err, all.left)
		}
		if _, err := open("/"); earshot.CodeOf(err) != earshot.Unavailable {
			b.Errorf("a third one: %v", err)
		}
		ann.Leave(0, "")
		<-b.echo.ends
		synctest.Wait()
		if all.left != 1 || len(all.users) > 0 {
			b.Errorf("when ann is gone: %+v", all)
		}
	})
}

// TestLeftSessions: who opens sessions and leaves them keeps nobody out who polls,
// and ends nobody who does.
func TestLeftSessions(t *testing.T) {
	inBubble(t, longpoll.Config{MaxSessions: 3}, func(b *bench) {
		open := func() (*longpoll.Session, error) {
			return b.server.Open(b.Context(), &proto.Request{HTTP: httptest.NewRequest(http.MethodGet, "/", nil)})
		}
		waits, comes, left := b.open("/"), b.open("/"), b.open("/")
		for _, s := range []*longpoll.Session{waits, comes, left} {
			b.hears(s, "hello")
		}
		answered := make(chan error, 1)
		go func() {
			_, err := waits.Poll(b.Context(), 10*time.Second)
			answered <- err
		}()
		for range 4 {
			time.Sleep(500 * time.Millisecond)
			b.hears(comes, "")
		}
		for range 3 { // the one that was left, and then those that are
			s, err := open()
			if err != nil {
				b.Fatal(err)
			}
			if end := <-b.echo.ends; earshot.CodeOf(end.Err) != earshot.Timeout {
				b.Errorf("ended as %+v", end)
			}
			if _, err := left.Poll(b.Context(), 0); earshot.CodeOf(err) != earshot.NotFound {
				b.Errorf("who did not poll has his place: %v", err)
			}
			if _, err := open(); earshot.CodeOf(err) != earshot.Limited {
				b.Errorf("with three that count: %v", err)
			}
			b.hears(comes, "")
			left = s
			time.Sleep(900 * time.Millisecond)
			b.hears(comes, "")
			time.Sleep(200 * time.Millisecond)
		}
		if err := <-answered; err != nil {
			b.Errorf("who polled all the time: %v", err)
		}
	})
}

func TestRefusals(t *testing.T) {
	inBubble(t, longpoll.Config{MaxSessions: 1}, func(b *bench) {
		open := func(path string) error {
			_, err := b.server.Open(b.Context(), &proto.Request{HTTP: httptest.NewRequest(http.MethodGet, path, nil)})
			return err
		}
		var no *proto.Refusal
		if err := open("/refuse"); !errors.As(err, &no) || no.Status != http.StatusTeapot {
			b.Errorf("refused with %v", err)
		}
		s := b.open("/")
		if err := open("/"); earshot.CodeOf(err) != earshot.Limited {
			b.Errorf("too many: %v", err)
		}
		s.Leave(0, "")
		<-b.echo.ends
		synctest.Wait()
		s = b.open("/")
		done := make(chan *hub.Goodbye, 1)
		b.hears(s, "hello")
		go func() {
			got, _ := s.Poll(context.Background(), time.Hour)
			done <- got.End
		}()
		synctest.Wait()
		b.server.Close()
		if end := <-done; end == nil || end.Code != 4000+int(earshot.Shutdown) {
			b.Errorf("a poll that waited for the close was told %+v", end)
		}
		if err := open("/"); earshot.CodeOf(err) != earshot.Shutdown {
			b.Errorf("after the close: %v", err)
		}
	})
}
