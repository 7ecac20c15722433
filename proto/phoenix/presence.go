package phoenix

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// isPresence reports whether joining a topic makes a user present: its name says
// so, as Hotsock's presence channels do, or the join asks for it.
func isPresence(topic string, asked bool) bool {
	return asked || strings.HasPrefix(topic, "presence:") || strings.HasPrefix(topic, "presence.")
}

// stateOf is the payload of presence_state (B.7).
func stateOf(members []hub.Member) []byte {
	b := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = metas(b, m.UID, m.Meta)
	}
	return append(b, '}')
}

// metas appends one member: its key, and the one meta that it has.
func metas(b []byte, uid string, umd []byte) []byte {
	b = append(quote(b, uid), `:{"metas":[{"phx_ref":"`...)
	b = append(append(b, phxRef(uid, umd)...), '"')
	return append(metaFields(b, umd), "}]}"...)
}

// phxRef tells one meta from every other one of the topic: it follows from user
// and metadata, so that all nodes, the state and the diffs say the same.
func phxRef(uid string, umd []byte) string {
	h := sha256.New()
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(uid)))
	_, _ = h.Write(size[:]) // a hash takes everything
	_, _ = h.Write([]byte(uid))
	_, _ = h.Write(umd)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// metaFields appends the members of metadata that is an object, and any other
// value as "umd". A phx_ref of its own would pass for ours and is left out.
func metaFields(b, umd []byte) []byte {
	switch jsontext.Value(umd).Kind() {
	case 0, 'n':
		return b
	case '{':
	default:
		return append(append(b, `,"umd":`...), umd...)
	}
	d := jsontext.NewDecoder(bytes.NewReader(umd))
	if _, err := d.ReadToken(); err != nil {
		return b
	}
	for d.PeekKind() == '"' {
		token, err := d.ReadToken()
		if err != nil {
			return b
		}
		name := token.String() // before the next read, which reuses the token
		value, err := d.ReadValue()
		if err != nil {
			return b
		}
		if name != "phx_ref" {
			b = append(append(quote(append(b, ','), name), ':'), value...)
		}
	}
	return b
}

// A said is the data of a notice of members.
type said struct {
	Member  saidMember   `json:"member"`
	Members []saidMember `json:"members"`
}

type saidMember struct {
	UID string         `json:"uid"`
	UMD jsontext.Value `json:"umd"`
}

// notice renders who came and went (B.7); nil for what this protocol has no words
// for. Newer metadata is told as the state as it now is: the notice does not know
// the older, and clients find out the difference.
func (v version) notice(m *earshot.Message) *hub.Frame {
	switch m.Notice {
	case earshot.MemberAdded, earshot.MemberUpdated, earshot.MemberRemoved:
	default:
		return nil
	}
	var s said
	if json.Unmarshal(m.Data, &s) != nil {
		return nil
	}
	topic := topicOf(m.Channel)
	one := append(metas([]byte{'{'}, s.Member.UID, s.Member.umd()), '}')
	switch m.Notice {
	case earshot.MemberAdded:
		return v.text("", "", topic, presenceDiff, diff(one, []byte("{}")))
	case earshot.MemberRemoved:
		return v.text("", "", topic, presenceDiff, diff([]byte("{}"), one))
	}
	all := make([]hub.Member, len(s.Members))
	for i, member := range s.Members {
		all[i] = hub.Member{UID: member.UID, Meta: member.umd()}
	}
	return v.text("", "", topic, presenceState, stateOf(all))
}

// umd is the metadata, nil for none.
func (m *saidMember) umd() []byte {
	if m.UMD.Kind() == 'n' {
		return nil
	}
	return m.UMD
}

func diff(joins, leaves []byte) []byte {
	b := append([]byte(`{"joins":`), joins...)
	return append(append(append(b, `,"leaves":`...), leaves...), '}')
}
