package usage

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/fxamacker/cbor/v2"
)

// readPage is how many pages are read at once.
const readPage = 500

// A Store reads what nodes have written. It is safe for concurrent use.
type Store struct{ records hub.Records }

// NewStore makes a store.
func NewStore(records hub.Records) *Store { return &Store{records} }

// Read returns what an app of a slug and a number, 0 for one of the settings, has
// used on all nodes in the periods that begin from a time on and before another, the
// first that it falls into included, in their order and without empty ones. What is not kept any more is not there. It fails
// with Invalid for times in the wrong order, and as hub.Records does.
func (s *Store) Read(ctx context.Context, app string, id int64, g Granularity, from, to time.Time) ([]Row, error) {
	if to.Before(from) {
		return nil, &earshot.Error{Code: earshot.Invalid, Reason: "TIMES", Text: "from is after to"}
	}
	if oldest := time.Now().Add(-g.Keep() - g.Step()); from.Before(oldest) {
		from = oldest
	}
	from = g.Start(from)
	buckets := map[int64][]Bucket{} // by their beginning
	err := s.each(ctx, hub.Key{"usage", whose(app, id), string(g)}, g.Page(from), to, func(b Bucket) {
		if b.Start >= from.Unix() && time.Unix(b.Start, 0).Before(to) {
			buckets[b.Start] = append(buckets[b.Start], b)
		}
	})
	if err != nil {
		return nil, err
	}
	rows := make([]Row, 0, len(buckets))
	for _, start := range slices.Sorted(maps.Keys(buckets)) {
		rows = append(rows, Merge(time.Unix(start, 0).UTC(), buckets[start]))
	}
	return rows, nil
}

// each calls f with the buckets on the pages below a prefix that begin from a time
// on and before another, in the order of the pages.
func (s *Store) each(ctx context.Context, prefix hub.Key, from, to time.Time, f func(Bucket)) error {
	after := append(prefix[:len(prefix):len(prefix)], from.Format(stamp)) // comes before all pages of the time
	for more := true; more; {
		var records []hub.Record
		var err error
		if records, more, err = s.records.List(ctx, prefix, after, readPage); err != nil {
			return err
		}
		for i := range records {
			r := &records[i]
			after = r.Key
			start, buckets, err := decode(r)
			switch {
			case err != nil:
				return err
			case !start.Before(to):
				return nil
			}
			for _, b := range buckets {
				f(b)
			}
		}
		more = more && len(records) > 0
	}
	return nil
}

func decode(r *hub.Record) (start time.Time, buckets []Bucket, err error) {
	if len(r.Key) != 6 {
		return start, nil, fmt.Errorf("the record %s is no page of usage", r.Key)
	}
	if start, err = time.ParseInLocation(stamp, r.Key[3], time.UTC); err == nil {
		err = cbor.Unmarshal(r.Data, &buckets)
	}
	if err != nil {
		return start, nil, fmt.Errorf("the page %s: %w", r.Key, err)
	}
	return start, buckets, nil
}
