package nats

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/earshot-io/earshot/hub"
)

// Bounds of a batch of records, how many keys are asked for at once and how many
// bytes their subjects have, and of a List.
const (
	keysMost  = 256
	keysBytes = 256 << 10
	listBytes = 4 << 20
	listTime  = 3 * readTime
)

// An index is which subjects there were in a prefix, in their order, when the
// stream's leader had come to a sequence.
type index struct {
	subjects []string
	last     uint64
	created  time.Time // of the stream
}

// indexOverlap is how many subjects of two pages of an index should be the same:
// what goes away between them must not hide another.
const indexOverlap = 64

// index asks the leader which subjects there are. It may answer in pages, by
// numbers that move when a subject goes away: what follows must overlap.
func (l *link) index(ctx context.Context, prefix hub.Key) (x index, err error) {
	subject := recordSubject(prefix)
	for offset := 0; ; {
		page, total, err := l.indexPage(ctx, subject+".>", offset)
		if err != nil {
			return x, err
		}
		if offset == 0 {
			x = page
		} else {
			known := x.subjects[len(x.subjects)-1]
			if len(page.subjects) > 0 && page.subjects[0] > known {
				offset = max(offset-indexOverlap, 0)
				continue
			}
			i, found := slices.BinarySearch(page.subjects, known)
			if found {
				i++
			}
			x.subjects = append(x.subjects, page.subjects[i:]...)
		}
		if offset+len(page.subjects) >= total {
			break
		}
		offset += len(page.subjects) - indexOverlap
	}
	if len(prefix) > 0 {
		x.subjects = slices.Insert(x.subjects, 0, subject) // it may be a record too
	}
	return x, nil
}

func (l *link) indexPage(ctx context.Context, filter string, offset int) (x index, total int, err error) {
	request, err := json.Marshal(struct {
		Filter string `json:"subjects_filter"`
		Offset int    `json:"offset,omitempty"`
	}{filter, offset})
	if err != nil {
		return x, 0, err
	}
	m, err := l.repeat(ctx, "$JS.API.STREAM.INFO."+recordStream, request)
	if err != nil {
		return x, 0, err
	}
	var answer struct {
		Error   *apiError `json:"error"`
		Total   int       `json:"total"`
		Created time.Time `json:"created"`
		State   struct {
			Last     uint64            `json:"last_seq"`
			Subjects map[string]uint64 `json:"subjects"`
		} `json:"state"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return x, 0, err
	}
	if answer.Error != nil {
		return x, 0, answer.Error
	}
	x = index{last: answer.State.Last, created: answer.Created}
	for s := range answer.State.Subjects {
		x.subjects = append(x.subjects, s)
	}
	slices.Sort(x.subjects)
	return x, answer.Total, nil
}

// batchOf cuts from the subjects what is asked for at once.
func batchOf(subjects []string) (batch, rest []string) {
	bytes := 0
	for i, s := range subjects {
		if bytes += len(s) + 3; i == keysMost || i > 0 && bytes > keysBytes {
			return subjects[:i], subjects[i:]
		}
	}
	return subjects, nil
}

// fetch reads what stands at the subjects, from a replica that has come to a
// sequence, and calls take with every part of the answer, in no order. What was
// changed while a replica looked is read singly from the leader.
func (l *link) fetch(ctx context.Context, subjects []string, last uint64, take func([]found) error) error {
	for len(subjects) > 0 {
		batch, rest := batchOf(subjects)
		fs, cut, err := l.askRecords(ctx, batch, last)
		if err != nil {
			return err
		}
		missing := withoutFound(batch, fs)
		if cut && len(fs) > 0 {
			// The answer was too large: the others are asked for again.
			rest = append(slices.Clone(missing), rest...)
		} else if fs, err = l.addSingly(ctx, fs, missing); err != nil {
			return err
		}
		subjects = rest
		if err := take(fs); err != nil {
			return err
		}
	}
	return nil
}

func withoutFound(subjects []string, fs []found) (missing []string) {
	has := make(map[string]bool, len(fs))
	for i := range fs {
		has[recordSubject(fs[i].Key)] = true
	}
	for _, s := range subjects {
		if !has[s] {
			missing = append(missing, s)
		}
	}
	return missing
}

func (l *link) addSingly(ctx context.Context, fs []found, subjects []string) ([]found, error) {
	for _, s := range subjects {
		k, ok := recordKey(s)
		if !ok {
			continue // not one of ours
		}
		f, err := l.record(ctx, k)
		if err != nil {
			return nil, err
		}
		if f.seq > 0 {
			fs = append(fs, f)
		}
	}
	return fs, nil
}

// headerUpTo is the newest sequence that a replica had when it answered.
const headerUpTo = "Nats-UpTo-Sequence"

// askRecords reads a batch from any replica, again while that is behind. Cut
// says that the answer was bounded in bytes.
func (l *link) askRecords(ctx context.Context, subjects []string, last uint64) (fs []found, cut bool, err error) {
	request, err := json.Marshal(struct {
		LastFor  []string `json:"multi_last"`
		MaxBytes int      `json:"max_bytes"`
	}{subjects, batchBytes})
	if err != nil {
		return nil, false, err
	}
	for {
		ms, end, err := l.collect(ctx, recordStream, request, len(subjects))
		if errors.Is(err, errSilent) && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		switch status := header(end, headerStatus); status {
		case "204":
		case "404":
			return nil, false, nil // each is asked for at the leader
		default:
			return nil, false, errors.New("the log answers " + status + " " + header(end, "Description"))
		}
		upTo, err := strconv.ParseUint(header(end, headerUpTo), 10, 64)
		if err != nil {
			return nil, false, err
		}
		if upTo >= last {
			pending := header(end, headerPending)
			return foundIn(ms), pending != "" && pending != "0", nil
		}
		if err := wait(ctx, readAgain); err != nil {
			return nil, false, err
		}
	}
}

func foundIn(ms []*natsgo.Msg) (fs []found) {
	for _, m := range ms {
		s, ok := readStored(m)
		k, valid := recordKey(s.subject)
		if ok && valid {
			fs = append(fs, newFound(k, s.seq, s.stamp, m.Header, m.Data))
		}
	}
	return fs
}

// A named subject is one where a record may be.
type named struct {
	key     hub.Key
	subject string
}

// namedAfter decodes the subjects of keys that come after one, in their order.
func namedAfter(subjects []string, after hub.Key) []named {
	all := make([]named, 0, len(subjects))
	for _, s := range subjects {
		if k, ok := recordKey(s); ok && (after == nil || k.Compare(after) > 0) {
			all = append(all, named{k, s})
		}
	}
	slices.SortFunc(all, func(a, b named) int { return a.key.Compare(b.key) })
	return all
}

// List reads records in the order of their keys; see hub.Records. It asks the
// leader which keys there are, and then for the records in batches.
func (e *Engine) List(ctx context.Context, prefix, after hub.Key, limit int) (records []hub.Record, more bool, err error) {
	if err := prefix.Check(); err != nil && len(prefix) > 0 {
		return nil, false, err
	}
	l, err := e.linked()
	if err != nil {
		return nil, false, err
	}
	ctx, cancel := contextFor(ctx, listTime)
	defer cancel()
	x, err := l.index(ctx, prefix)
	if err != nil {
		return nil, false, unavailable(err)
	}
	r := listing{limit: limit}
	names := namedAfter(x.subjects, after)
	for len(names) > 0 && !r.more {
		page := names[:min(len(names), r.next())]
		fs, err := l.fetchAll(ctx, page, x.last)
		if err != nil {
			return nil, false, unavailable(err)
		}
		r.add(fs)
		names = names[len(page):]
	}
	if err := e.settled(ctx, r.newest); err != nil {
		return nil, false, err
	}
	return r.records, r.more, nil
}

// A listing is the answer to List as it grows.
type listing struct {
	limit   int
	records []hub.Record
	bytes   int
	more    bool   // there is one that it has no room for
	newest  uint64 // sequence that was read
}

// next is how many keys are to be looked at next: about as many as there is room
// for, and one to see whether there are more.
func (r *listing) next() int {
	most := keysMost
	if n := len(r.records); n == 0 {
		most = 64 // they may be large
	} else {
		most = min(most, listBytes/max(r.bytes/n, 1))
	}
	return max(min(most, r.limit-len(r.records)+1), 1)
}

// add takes what was found of the next keys, in their order.
func (r *listing) add(fs []found) {
	for i := range fs {
		f := &fs[i]
		r.newest = max(r.newest, f.seq)
		switch {
		case f.gone():
			continue
		case len(r.records) >= r.limit || len(r.records) > 0 && r.bytes+len(f.Data) > listBytes:
			r.more = true
			return
		}
		r.records, r.bytes = append(r.records, f.Record), r.bytes+len(f.Data)
	}
}

// fetchAll reads what stands at the subjects, in the order of their keys.
func (l *link) fetchAll(ctx context.Context, names []named, last uint64) (all []found, err error) {
	subjects := make([]string, len(names))
	for i := range names {
		subjects[i] = names[i].subject
	}
	err = l.fetch(ctx, subjects, last, func(fs []found) error {
		all = append(all, fs...)
		return nil
	})
	slices.SortFunc(all, func(a, b found) int { return a.Key.Compare(b.Key) })
	return all, err
}
