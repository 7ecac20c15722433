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

// userPresence begins the names of channels on which other protocols' users are
// present too: there, a user is one member.
const userPresence = "presence."

// isPresence reports whether joining a topic makes a user present: its name says
// so, as Hotsock's presence channels do, or the join asks for it.
func isPresence(topic string, asked bool) bool {
	return asked || strings.HasPrefix(topic, "presence:") || strings.HasPrefix(topic, userPresence)
}

// isApart reports whether each connection is a member of a topic by itself, with a
// meta of its own (B.7).
func isApart(topic string) bool { return !strings.HasPrefix(topic, userPresence) }

// stateOf is the payload of presence_state (B.7): the metas of a key stand together.
func stateOf(members []hub.Member) []byte {
	keys, of := make([]string, 0, len(members)), make(map[string][]hub.Member, len(members))
	for _, m := range members {
		if of[m.UID] == nil {
			keys = append(keys, m.UID)
		}
		of[m.UID] = append(of[m.UID], m)
	}
	b := []byte{'{'}
	for i, uid := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(quote(b, uid), `:{"metas":[`...)
		for j := range of[uid] {
			if j > 0 {
				b = append(b, ',')
			}
			b = meta(b, &of[uid][j], "")
		}
		b = append(b, "]}"...)
	}
	return append(b, '}')
}

// only is a key with one meta. prev is the reference of the meta that it takes the
// place of, empty for none.
func only(m *hub.Member, prev string) []byte {
	return append(meta(append(quote([]byte{'{'}, m.UID), `:{"metas":[`...), m, prev), "]}}"...)
}

func meta(b []byte, m *hub.Member, prev string) []byte {
	b = append(append(append(b, `{"phx_ref":"`...), phxRef(m)...), '"')
	if prev != "" {
		b = append(append(append(b, `,"phx_ref_prev":"`...), prev...), '"')
	}
	return append(metaFields(b, m.Meta), '}')
}

// phxRef tells one meta from every other one of the topic: it follows from user,
// connection and metadata, so that all nodes, the state and the diffs say the same.
func phxRef(m *hub.Member) string {
	h := sha256.New()
	var size [8]byte
	for _, s := range []string{m.UID, m.Seat} {
		binary.BigEndian.PutUint64(size[:], uint64(len(s)))
		_, _ = h.Write(size[:]) // a hash takes everything
		_, _ = h.Write([]byte(s))
	}
	_, _ = h.Write(m.Meta)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// metaFields appends the members of metadata that is an object, and any other
// value as "umd". A phx_ref or phx_ref_prev of its own would pass for ours and is
// left out.
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
		if name != "phx_ref" && name != "phx_ref_prev" {
			b = append(append(quote(append(b, ','), name), ':'), value...)
		}
	}
	return b
}

// said is what is read of the data of a notice of members.
type said struct {
	Member struct {
		UID  string         `json:"uid"`
		UMD  jsontext.Value `json:"umd"`
		Seat string         `json:"seat"`
	} `json:"member"`
}

// notice renders who came, changed and went (B.7); nil for what this protocol has
// no words for. Newer metadata is a meta that joins, and the older one that leaves.
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
	now := hub.Member{UID: s.Member.UID, Seat: s.Member.Seat}
	if s.Member.UMD.Kind() != 'n' {
		now.Meta = s.Member.UMD
	}
	joins, leaves := []byte("{}"), []byte("{}")
	switch m.Notice {
	case earshot.MemberAdded:
		joins = only(&now, "")
	case earshot.MemberRemoved:
		leaves = only(&now, "")
	default:
		before := now
		before.Meta = []byte(m.Headers[hub.HeaderBefore])
		joins, leaves = only(&now, phxRef(&before)), only(&before, "")
	}
	return v.text("", "", topicOf(m.Channel), presenceDiff, diff(joins, leaves))
}

func diff(joins, leaves []byte) []byte {
	b := append([]byte(`{"joins":`), joins...)
	return append(append(append(b, `,"leaves":`...), leaves...), '}')
}
