package phoenix

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"sync"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// A ticket is what the token of a session of long polls says (B.6): which session
// it is, in which version, and which node has it.
type ticket struct {
	node    string
	session earshot.ConnID
	version version
}

const (
	// ticketFor is how long a token counts.
	ticketFor = 14 * 24 * time.Hour
	// ticketHead is how many bytes of a token come before the node: the version of
	// the serializer, seconds since 1970, and the session.
	ticketHead = 1 + 8 + len(earshot.ConnID{})
	// maxTicket bounds what is looked at.
	maxTicket = 512
)

// ticketRecord is the record that has the key of tokens.
var ticketRecord = hub.Key{"phoenix", "longpoll"}

// A stamp signs tokens, with a key that all nodes have and that outlives them: a
// record of the engine. It is safe for concurrent use.
type stamp struct {
	records hub.Records // nil for a key of this process alone

	mu  sync.Mutex
	key []byte
}

// secret is the key; the first node that asks for it makes it.
func (s *stamp) secret(ctx context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key != nil {
		return s.key, nil
	}
	fresh := make([]byte, sha256.Size)
	_, _ = rand.Read(fresh) // never fails, by its contract
	if s.records == nil {
		s.key = fresh
		return s.key, nil
	}
	r, err := s.records.Get(ctx, ticketRecord)
	if err == nil && r.Revision == 0 {
		if _, err = s.records.Put(ctx, ticketRecord, fresh, 0, 0); err == nil || earshot.CodeOf(err) == earshot.Conflict {
			r, err = s.records.Get(ctx, ticketRecord)
		}
	}
	if err != nil {
		return nil, err
	}
	if len(r.Data) < sha256.Size {
		return nil, earshot.Errorf(earshot.Unavailable, "the key of long polls is being made")
	}
	s.key = r.Data
	return s.key, nil
}

// issue makes the token of a session.
func (s *stamp) issue(ctx context.Context, t ticket, now time.Time) (string, error) {
	key, err := s.secret(ctx)
	if err != nil {
		return "", err
	}
	b := append(make([]byte, 0, ticketHead+len(t.node)+sha256.Size), byte(t.version))
	b = binary.BigEndian.AppendUint64(b, uint64(now.Unix()))
	b = append(append(b, t.session[:]...), t.node...)
	return base64.RawURLEncoding.EncodeToString(append(b, ticketMAC(key, b)...)), nil
}

// read reads a token; ok is false for one that is not ours, or too old.
func (s *stamp) read(ctx context.Context, token string, now time.Time) (t ticket, ok bool, err error) {
	b, bad := base64.RawURLEncoding.Strict().DecodeString(token)
	if len(token) > maxTicket || bad != nil || len(b) <= ticketHead+sha256.Size {
		return t, false, nil
	}
	key, err := s.secret(ctx)
	if err != nil {
		return t, false, err
	}
	said, mac := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if !hmac.Equal(mac, ticketMAC(key, said)) {
		return t, false, nil
	}
	t.version = version(said[0])
	made := time.Unix(int64(binary.BigEndian.Uint64(said[1:])), 0)
	copy(t.session[:], said[9:])
	t.node = string(said[ticketHead:])
	return t, now.Sub(made) < ticketFor, nil
}

func ticketMAC(key, said []byte) []byte {
	m := hmac.New(sha256.New, key)
	_, _ = m.Write([]byte("phoenix longpoll\n")) // a hash takes everything
	_, _ = m.Write(said)
	return m.Sum(nil)
}
