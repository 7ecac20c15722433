package gateway

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxSteps bounds how deep a path leads.
const maxSteps = 32

// A query is a set of paths into a JSON object, which are looked for together in
// one pass. Of members with the same name the last counts, as it does for what
// reads the message behind it.
type query struct {
	root  *step
	slots int
}

// A step is where paths have come to: what is found here fills its slots, and
// other paths lead on.
type step struct {
	slots   []int
	members map[string]*step
	items   map[int]*step
}

// A finding is what was at the end of a path, as text.
type finding struct {
	text string
	ok   bool
}

func newQuery() *query { return &query{root: &step{}} }

// add adds a path, such as .a['b'][0], and returns its slot.
func (q *query) add(path string) (slot int, err error) {
	if q.slots == maxVariables {
		return 0, fmt.Errorf("there are more than %d variables", maxVariables)
	}
	at := q.root
	for rest, n := path, 0; rest != "" || n == 0; n++ {
		if n == maxSteps {
			return 0, fmt.Errorf("%q: a path has at most %d steps", path, maxSteps)
		}
		var name string
		var index int
		if name, index, rest, err = cutStep(rest); err != nil {
			return 0, fmt.Errorf("$%s%s: %w", bodyVariable, path, err)
		}
		if index >= 0 && n == 0 {
			return 0, fmt.Errorf("$%s%s: a message is an object, so that a path begins with a member", bodyVariable, path)
		}
		at = at.next(name, index)
	}
	at.slots = append(at.slots, q.slots)
	q.slots++
	return q.slots - 1, nil
}

// next is the step behind a member, or behind an item if index is none below 0.
func (s *step) next(name string, index int) *step {
	if index >= 0 {
		if s.items == nil {
			s.items = map[int]*step{}
		}
		if s.items[index] == nil {
			s.items[index] = &step{}
		}
		return s.items[index]
	}
	if s.members == nil {
		s.members = map[string]*step{}
	}
	if s.members[name] == nil {
		s.members[name] = &step{}
	}
	return s.members[name]
}

// cutStep takes the first step of a path: .name, ['name'], ["name"] or [0].
func cutStep(path string) (name string, index int, rest string, err error) {
	switch {
	case strings.HasPrefix(path, "."):
		end := strings.IndexAny(path[1:], ".[")
		if name, rest = path[1:], ""; end >= 0 {
			name, rest = path[1:1+end], path[1+end:]
		}
		if name == "" || strings.ContainsAny(name, "*@?()]'\" \t\r\n{}") {
			return "", 0, "", fmt.Errorf("a member's name is missing, or has to be written ['name']: wildcards and filters are not known")
		}
		return name, -1, rest, nil
	case strings.HasPrefix(path, "['"), strings.HasPrefix(path, `["`):
		end := strings.Index(path[2:], path[1:2]+"]")
		if end < 1 {
			return "", 0, "", fmt.Errorf("a quoted name is empty, or is not closed")
		}
		return path[2 : 2+end], -1, path[2+end+2:], nil
	case strings.HasPrefix(path, "["):
		number, tail, closed := strings.Cut(path[1:], "]")
		n, err := strconv.ParseUint(number, 10, 31)
		if !closed || err != nil {
			return "", 0, "", fmt.Errorf("in brackets is a number or a quoted name: wildcards and filters are not known")
		}
		return "", int(n), tail, nil
	}
	return "", 0, "", fmt.Errorf("a path has the form .name or ['name']")
}

// find looks for the paths in a message. It is not ok for one that is no JSON
// object; without paths it does not look. A text that is longer than limit is
// cut short right behind it.
func (q *query) find(message []byte, limit int) (found []finding, ok bool) {
	if q.slots == 0 {
		return nil, true
	}
	w := walk{jsontext.NewDecoder(bytes.NewBuffer(message), jsontext.AllowDuplicateNames(true)), make([]finding, q.slots), limit}
	if w.in.PeekKind() != '{' || w.step(q.root) != nil {
		return nil, false
	}
	if w.in.PeekKind() != jsontext.KindInvalid || !w.atEnd() {
		return nil, false
	}
	return w.found, true
}

// A walk is one pass over a message.
type walk struct {
	in    *jsontext.Decoder
	found []finding
	limit int
}

// atEnd reports whether nothing comes behind the value.
func (w *walk) atEnd() bool {
	return len(bytes.TrimLeft(w.in.UnreadBuffer(), " \t\r\n")) == 0
}

// step reads the next value, to which paths have led.
func (w *walk) step(s *step) error {
	w.forget(s)
	if len(s.slots) > 0 {
		return w.take(s)
	}
	switch {
	case w.in.PeekKind() == '{' && s.members != nil:
		return w.object(s)
	case w.in.PeekKind() == '[' && s.items != nil:
		return w.array(s)
	}
	return w.in.SkipValue()
}

// forget undoes what an earlier member of the same name gave.
func (w *walk) forget(s *step) {
	for _, slot := range s.slots {
		w.found[slot] = finding{}
	}
	for _, next := range s.members {
		w.forget(next)
	}
	for _, next := range s.items {
		w.forget(next)
	}
}

// take reads a value that is asked for, and looks into it for what else is.
func (w *walk) take(s *step) error {
	value, err := w.in.ReadValue()
	if err != nil {
		return err
	}
	text := render(value, w.limit)
	for _, slot := range s.slots {
		w.found[slot] = finding{text, true}
	}
	if s.members == nil && s.items == nil {
		return nil
	}
	inner := walk{jsontext.NewDecoder(bytes.NewBuffer(value), jsontext.AllowDuplicateNames(true)), w.found, w.limit}
	return inner.step(&step{members: s.members, items: s.items})
}

func (w *walk) object(s *step) error {
	if _, err := w.in.ReadToken(); err != nil {
		return err
	}
	for w.in.PeekKind() != '}' {
		quoted, err := w.in.ReadValue()
		if err != nil {
			return err
		}
		next := s.members[string(quoted[1:len(quoted)-1])]
		if bytes.IndexByte(quoted, '\\') >= 0 {
			name, _ := jsontext.AppendUnquote(nil, quoted) // it was read as a string
			next = s.members[string(name)]
		}
		if err = w.follow(next); err != nil {
			return err
		}
	}
	_, err := w.in.ReadToken()
	return err
}

func (w *walk) array(s *step) error {
	if _, err := w.in.ReadToken(); err != nil {
		return err
	}
	for i := 0; w.in.PeekKind() != ']'; i++ {
		if err := w.follow(s.items[i]); err != nil {
			return err
		}
	}
	_, err := w.in.ReadToken()
	return err
}

// follow goes into the next value if a path does.
func (w *walk) follow(next *step) error {
	if next == nil {
		return w.in.SkipValue()
	}
	return w.step(next)
}
