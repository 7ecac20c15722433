package usage

import (
	"context"
	"fmt"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/fxamacker/cbor/v2"
)

// readPage is how many buckets are read at once.
const readPage = 500

// A Store reads what nodes have written. It is safe for concurrent use.
type Store struct{ records hub.Records }

// NewStore makes a store.
func NewStore(records hub.Records) *Store { return &Store{records} }

// Read returns what an app has used on all nodes in the periods that begin from
// a time on and before another, the first that it falls into included, in their
// order and without empty ones. What is not kept any more is not there. It fails
// with Invalid for times in the wrong order, and as hub.Records does.
func (s *Store) Read(ctx context.Context, app string, g Granularity, from, to time.Time) ([]Row, error) {
	if to.Before(from) {
		return nil, &earshot.Error{Code: earshot.Invalid, Reason: "TIMES", Text: "from is after to"}
	}
	if oldest := time.Now().Add(-g.Keep() - g.Step()); from.Before(oldest) {
		from = oldest
	}
	var rows []Row
	var buckets []Bucket
	var start time.Time
	end := func() {
		if len(buckets) > 0 {
			rows = append(rows, Merge(start, buckets))
			buckets = buckets[:0]
		}
	}
	err := s.each(ctx, hub.Key{"usage", app, string(g)}, g.Start(from), func(at time.Time, b *Bucket) bool {
		if !at.Before(to) {
			return false
		}
		if !at.Equal(start) {
			end()
			start = at
		}
		buckets = append(buckets, *b)
		return true
	})
	if err != nil {
		return nil, err
	}
	end()
	return rows, nil
}

// each calls f with the buckets below a prefix that begin at a time or later, in
// their order, until it returns false.
func (s *Store) each(ctx context.Context, prefix hub.Key, from time.Time, f func(at time.Time, b *Bucket) bool) error {
	after := append(prefix[:len(prefix):len(prefix)], from.Format(stamp)) // comes before all buckets of the time
	for more := true; more; {
		var page []hub.Record
		var err error
		if page, more, err = s.records.List(ctx, prefix, after, readPage); err != nil {
			return err
		}
		for i := range page {
			r := &page[i]
			after = r.Key
			at, b, err := decode(r)
			if err != nil {
				return err
			}
			if !f(at, b) {
				return nil
			}
		}
		more = more && len(page) > 0
	}
	return nil
}

func decode(r *hub.Record) (time.Time, *Bucket, error) {
	var b Bucket
	if len(r.Key) != 5 {
		return time.Time{}, nil, fmt.Errorf("the record %s is no bucket", r.Key)
	}
	at, err := time.ParseInLocation(stamp, r.Key[3], time.UTC)
	if err == nil {
		err = cbor.Unmarshal(r.Data, &b)
	}
	if err != nil {
		return time.Time{}, nil, fmt.Errorf("the bucket %s: %w", r.Key, err)
	}
	return at, &b, nil
}
