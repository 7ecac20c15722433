package hotsock

import (
	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
)

// notice renders what the server itself says on a channel (spec §2.4); nil if
// this protocol has no words for it.
func notice(m *earshot.Message) *hub.Frame {
	event := noticeEvent(m.Notice)
	if event == "" {
		return nil
	}
	size := 160 + len(m.Channel) + len(m.Key) + len(m.Data)
	if m.Sender != nil {
		size += len(m.Sender.UID) + len(m.Sender.Meta)
	}
	b := append(make([]byte, 0, size), '{')
	if m.Notice == earshot.ReactionAdded || m.Notice == earshot.ReactionRemoved {
		b = append(b, `"id":"`...)
		b, _ = m.ID.AppendText(b) // fails for a short buffer only
		b = append(b, `",`...)
	}
	b = append(append(append(b, `"event":"`...), event...), `","channel":`...)
	b = quote(b, m.Channel)
	if m.Notice == earshot.EntryChanged {
		b = quote(append(b, `,"key":`...), m.Key)
	}
	b = payload(append(b, ','), m)
	switch m.Notice {
	case earshot.EntryChanged, earshot.ReactionAdded, earshot.ReactionRemoved:
		b = sender(append(b, ','), m.Sender)
	}
	return hub.TextFrame(append(b, '}'))
}

// noticeEvent is the event that tells of a notice.
func noticeEvent(n earshot.Notice) string {
	switch n {
	case earshot.MemberAdded:
		return "hotsock.memberAdded"
	case earshot.MemberUpdated:
		return "hotsock.memberUpdated"
	case earshot.MemberRemoved:
		return "hotsock.memberRemoved"
	case earshot.EntryChanged:
		return "hotsock.channelStorageUpdated"
	case earshot.ReactionAdded:
		return "hotsock.messageReactionAdded"
	case earshot.ReactionRemoved:
		return "hotsock.messageReactionRemoved"
	}
	return ""
}

// sender appends the member "meta" of who did something; a server has neither
// uid nor umd.
func sender(b []byte, s *earshot.Sender) []byte {
	if s == nil {
		return append(b, `"meta":{"uid":null,"umd":null}`...)
	}
	return append(who(append(b, `"meta":{`...), s.UID, s.HasUID, s.Meta), '}')
}
