package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// A Report is all that was found at once. The zero value holds nothing.
type Report struct {
	Machine Machine `json:"machine"`
	// Floor is what the floor did in the scenario of Run, nil if it was not asked.
	Floor *Result `json:"floor,omitempty"`
	Run   *Result `json:"run,omitempty"`
	// Comparison, Idle and Storm are empty if they were not asked for.
	Comparison []*Standing   `json:"comparison,omitempty"`
	Idle       []*IdleResult `json:"idle,omitempty"`
	Storm      *StormResult  `json:"storm,omitempty"`
}

// OK reports whether nothing was lost, doubled, out of order or cut. Whether a
// bar is met is another question: figures depend on the machine.
func (r *Report) OK() bool {
	for _, one := range []*Result{r.Floor, r.Run} {
		if one != nil && !one.OK() {
			return false
		}
	}
	for _, s := range r.Comparison {
		for _, one := range s.Runs {
			if !one.OK() {
				return false
			}
		}
	}
	for _, i := range r.Idle {
		if !i.OK() {
			return false
		}
	}
	return r.Storm == nil || r.Storm.OK()
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, r.Machine)
	if r.Floor != nil {
		r.Floor.writeText(t, "floor")
	}
	if r.Run != nil {
		r.Run.writeText(t, r.Run.Scenario.Name)
	}
	r.writeRatio(t)
	r.writeComparison(t)
	r.writeIdle(t)
	r.writeStorm(t)
	if !r.OK() {
		fmt.Fprintln(t, "\nFAULTS: messages or connections were lost, or messages doubled or out of order.")
	}
	return t.Flush()
}

func (r *Result) writeText(w io.Writer, title string) {
	s := r.Scenario
	fmt.Fprintf(w, "\n%s: %d connections, %d channels, %s\n", title, s.Connections, s.Channels, s.Publishing)
	fmt.Fprintf(w, "  delivered\t%d in %.1f s\t%.0f/s\n", r.Delivered, r.Seconds, r.DeliveriesPerSecond())
	fmt.Fprintf(w, "  published\t%d\t%.0f/s\n", r.Published, r.PublishesPerSecond())
	l := r.Latency
	fmt.Fprintf(w, "  latency\tp50 %v\tp99 %v\tp99.9 %v\tmax %v\n", short(l.P50), short(l.P99), short(l.P999), short(l.Max))
	f := r.Faults
	fmt.Fprintf(w, "  lost %d\tduplicated %d\tout of order %d\tmisdirected %d\tdropped connections %d\n",
		f.Lost, f.Duplicated, f.Reordered, f.Misdirected, f.Dropped)
	if r.Trouble != "" {
		fmt.Fprintf(w, "  trouble\t%s\n", r.Trouble)
	}
	if c := r.Server; c != nil {
		fmt.Fprintf(w, "  server CPU\t%.3f s per million deliveries\t%.2f cores\t%s resident\n", c.PerMillion, c.Cores, size(c.RSS))
	} else {
		fmt.Fprintf(w, "  server CPU\tnot known: neither its process nor its /metrics can be read\n")
	}
	fmt.Fprintf(w, "  own CPU\t%.3f s per million deliveries\t%.2f cores\n", r.Client.PerMillion, r.Client.Cores)
	if r.Client.Cores > 0.95*float64(s.Readers) {
		fmt.Fprintf(w, "  the load tool was busy all the time: its own speed may be what was measured (--readers)\n")
	}
}

func (r *Report) writeRatio(w io.Writer) {
	if r.Floor == nil || r.Run == nil || r.Floor.serverPerMillion() == 0 || r.Run.serverPerMillion() == 0 {
		return
	}
	fmt.Fprintf(w, "\nCPU per delivery is %.2f times the floor's.\n", r.Run.serverPerMillion()/r.Floor.serverPerMillion())
}

func (r *Report) writeComparison(w io.Writer) {
	if len(r.Comparison) == 0 {
		return
	}
	fmt.Fprintf(w, "\nServer CPU seconds per million deliveries, medians of %d.\n\n", len(r.Comparison[0].Runs))
	fmt.Fprintln(w, "case\trow\tCPU\tfloor\tratio\tbar\t\tdeliveries/s\tp50\tp99\tp99.9\tfaults")
	for _, s := range r.Comparison {
		bar, met := "–", ""
		if s.Bar > 0 {
			bar, met = fmt.Sprint(s.Bar), "met"
			if !s.Met() {
				met = "MISSED"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%.3f\t%.3f\t%.2f\t%s\t%s\t%.0f\t%v\t%v\t%v\t%s\n", s.Case, s.Row, s.PerMillion, s.Floor, s.Ratio,
			bar, met, s.Rate, short(s.Latency.P50), short(s.Latency.P99), short(s.Latency.P999), s.Faults)
	}
}

func (r *Report) writeIdle(w io.Writer) {
	for _, i := range r.Idle {
		on := "all on one channel"
		if i.Idling.OwnChannels {
			on = "a channel each"
		}
		fmt.Fprintf(w, "\nidle, %s: %.0f bytes per connection (%s at %d, %s at %d, read %v after the last connect); dropped %d %s\n",
			on, i.PerConnection, size(i.RSSFew), i.Idling.Few, size(i.RSSMany), i.Idling.Many, i.Idling.Rest, i.Dropped, i.Trouble)
	}
}

func (r *Report) writeStorm(w io.Writer) {
	s := r.Storm
	if s == nil {
		return
	}
	fmt.Fprintf(w, "\nstorm of %d connections on %d channels after kill -9\n", s.Storming.Connections, s.Storming.Channels)
	fmt.Fprintf(w, "  ready\t%v after the start\n", s.Ready.Round(time.Millisecond))
	fmt.Fprintf(w, "  subscribed\t%v after that\n", s.Connected.Round(time.Millisecond))
	fmt.Fprintf(w, "  resumed\t%v: everybody had everything\n", s.Resumed.Round(time.Millisecond))
	fmt.Fprintf(w, "  memory\tpeak %s, steady %s, %.2f times\n", size(s.Peak), size(s.Steady), float64(s.Peak)/float64(max(s.Steady, 1)))
	fmt.Fprintf(w, "  server CPU\t%.2f s\n", s.CPUSeconds)
	fmt.Fprintf(w, "  delivered\t%d\tfaults %s %s\n", s.Delivered, s.Faults, s.Trouble)
}

// String says how it is published.
func (p Publishing) String() string {
	way := "over a WebSocket connection"
	if p.HTTP {
		way = fmt.Sprintf("by POST over %d connections", p.Connections)
	} else if p.Connections > 1 {
		way = fmt.Sprintf("over %d WebSocket connections", p.Connections)
	}
	if p.Rate > 0 {
		return fmt.Sprintf("%v publishes/s in batches of %d %s, %d bytes", p.Rate, p.Batch, way, p.Size)
	}
	return fmt.Sprintf("%d publishes outstanding %s, %d bytes", p.Outstanding, way, p.Size)
}

// String lists what is not zero.
func (f Faults) String() string {
	if !f.Any() {
		return "none"
	}
	return fmt.Sprintf("%d lost, %d duplicated, %d out of order, %d misdirected, %d resumes broken, %d connections dropped",
		f.Lost, f.Duplicated, f.Reordered, f.Misdirected, f.Broken, f.Dropped)
}

// size is a number of bytes for people.
func size(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/(1<<20)) }
