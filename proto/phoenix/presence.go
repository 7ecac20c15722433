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
		b = metas(b, m.UID, m.Meta, "")
	}
	return append(b, '}')
}

// metas appends one member: its key, and the one meta that it has. prev is the
// reference of the one that it takes the place of, empty for none.
func metas(b []byte, uid string, umd []byte, prev string) []byte {
	b = append(quote(b, uid), `:{"metas":[{"phx_ref":"`...)
	b = append(append(b, phxRef(uid, umd)...), '"')
	if prev != "" {
		b = append(append(append(b, `,"phx_ref_prev":"`...), prev...), '"')
	}
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

// A said is what is read of the data of a notice of members.
type said struct {
	Member saidMember `json:"member"`
}

type saidMember struct {
	UID string         `json:"uid"`
	UMD jsontext.Value `json:"umd"`
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
	joins, leaves := []byte("{}"), []byte("{}")
	uid, umd := s.Member.UID, s.Member.umd()
	switch m.Notice {
	case earshot.MemberAdded:
		joins = append(metas([]byte{'{'}, uid, umd, ""), '}')
	case earshot.MemberRemoved:
		leaves = append(metas([]byte{'{'}, uid, umd, ""), '}')
	default:
		before := []byte(m.Headers[hub.HeaderBefore])
		joins = append(metas([]byte{'{'}, uid, umd, phxRef(uid, before)), '}')
		leaves = append(metas([]byte{'{'}, uid, before, ""), '}')
	}
	return v.text("", "", topicOf(m.Channel), presenceDiff, diff(joins, leaves))
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
