package usage

import (
	"cmp"
	"slices"
	"time"
)

// A Bucket is what one node has counted for one app in one period.
type Bucket struct {
	// Start is when the period begins, in Unix seconds.
	Start  int64  `cbor:"5,keyasint"`
	Counts Counts `cbor:"1,keyasint"`
	// Peak is how many connections the node had at once, at the most.
	Peak int `cbor:"2,keyasint,omitempty"`
	// From and To are between when it was counted, in Unix milliseconds.
	From int64 `cbor:"3,keyasint"`
	To   int64 `cbor:"4,keyasint"`
}

// A Row is what an app has used in one period, on all nodes.
type Row struct {
	// Start is when the period begins.
	Start time.Time `json:"start"`
	Counts
	// PeakConnections is how many connections there were at once, at the most.
	PeakConnections int `json:"peakConnections"`
}

// Merge makes one row of the buckets of a period, in whatever order.
func Merge(start time.Time, buckets []Bucket) Row {
	row := Row{Start: start}
	for i := range buckets {
		row.add(&buckets[i].Counts)
	}
	row.PeakConnections = together(buckets)
	return row
}

// together is the most that the peaks of buckets add up to that were counted at
// the same time.
func together(buckets []Bucket) (most int) {
	type change struct {
		at   int64
		peak int
	}
	changes := make([]change, 0, 2*len(buckets))
	for i := range buckets {
		b := &buckets[i]
		changes = append(changes, change{b.From, b.Peak}, change{max(b.To, b.From+1), -b.Peak})
	}
	// What ends when another one begins was not at the same time.
	slices.SortFunc(changes, func(a, b change) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.peak, b.peak)) })
	now := 0
	for _, c := range changes {
		now += c.peak
		most = max(most, now)
	}
	return most
}

// Total adds rows up. Its peak is the highest of theirs, and its Start the first.
func Total(rows []Row) (t Row) {
	for i := range rows {
		t.add(&rows[i].Counts)
		t.PeakConnections = max(t.PeakConnections, rows[i].PeakConnections)
	}
	if len(rows) > 0 {
		t.Start = rows[0].Start
	}
	return t
}
