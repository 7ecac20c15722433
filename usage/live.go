package usage

import (
	"context"
	"slices"
	"strings"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/hub"
	"github.com/fxamacker/cbor/v2"
)

// MaxChannels is how many channels a page has at the most.
const MaxChannels = 100

// The questions that nodes ask each other.
const (
	askFigures  = "usage.figures"
	askChannels = "usage.channels"
)

// Nodes are what live figures need of the hub.
type Nodes interface {
	AppUse(slug string) hub.AppUse
	Subscribed(slug, after string, limit int) (all []hub.ChannelCount, more bool)
	ServeAll(kind string, f hub.Answerer)
	AskAll(ctx context.Context, kind string, data []byte) (answers [][]byte, missing int, err error)
}

// Live tells how things are now, on all nodes. It is safe for concurrent use.
type Live struct {
	nodes    Nodes
	recorder *Recorder
}

// NewLive makes it, and lets this node answer the others.
func NewLive(nodes Nodes, recorder *Recorder) *Live {
	l := &Live{nodes, recorder}
	nodes.ServeAll(askFigures, l.ownFigures)
	nodes.ServeAll(askChannels, l.ownChannels)
	return l
}

// Figures are how an app is just now.
type Figures struct {
	App string `json:"app"`
	// Connections are open.
	Connections int `json:"connections"`
	// In are messages published, Out messages queued for clients.
	In  Rates `json:"in"`
	Out Rates `json:"out"`
	// Nodes have told this; Missing ones did not answer, and are left out.
	Nodes   int `json:"nodes"`
	Missing int `json:"missing"`
}

type nodeFigures struct {
	Connections int   `cbor:"1,keyasint"`
	In          Rates `cbor:"2,keyasint"`
	Out         Rates `cbor:"3,keyasint"`
}

// Figures asks all nodes. A node that does not answer within half a second is
// left out. It fails when the context ends.
func (l *Live) Figures(ctx context.Context, app string) (Figures, error) {
	sum := Figures{App: app}
	answers, missing, err := l.nodes.AskAll(ctx, askFigures, []byte(app))
	if err != nil {
		return Figures{}, err
	}
	sum.Missing = missing
	for _, data := range answers {
		var f nodeFigures
		if err := cbor.Unmarshal(data, &f); err != nil {
			sum.Missing++
			continue
		}
		sum.Nodes++
		sum.Connections += f.Connections
		sum.In.add(f.In)
		sum.Out.add(f.Out)
	}
	return sum, nil
}

func (l *Live) ownFigures(_ context.Context, app []byte) ([]byte, error) {
	f := nodeFigures{Connections: l.nodes.AppUse(string(app)).Connections}
	f.In, f.Out = l.recorder.Now(string(app))
	return cbor.Marshal(f)
}

// A Channel is one with subscriptions.
type Channel struct {
	Name          string `json:"name"`
	Subscriptions int    `json:"subscriptions"`
}

// Channels are a page of an app's channels.
type Channels struct {
	Channels []Channel `json:"channels"`
	// More says that there are others behind the last one.
	More bool `json:"more"`
	// Missing nodes did not answer, and are left out.
	Missing int `json:"missing"`
}

type channelsAsked struct {
	App   string `cbor:"1,keyasint"`
	After string `cbor:"2,keyasint,omitempty"`
	Limit int    `cbor:"3,keyasint"`
}

type channelsTold struct {
	Channels []hub.ChannelCount `cbor:"1,keyasint"`
	More     bool               `cbor:"2,keyasint,omitempty"`
}

// Channels returns up to limit channels of an app that have subscriptions, in the
// order of their names, those after a name; empty for the first. Subscriptions are
// those of all nodes that answer within half a second, without the ones that
// their channel does not count. It fails when the context ends.
func (l *Live) Channels(ctx context.Context, app, after string, limit int) (Channels, error) {
	limit = max(1, min(limit, MaxChannels))
	data, err := cbor.Marshal(channelsAsked{app, after, limit})
	if err != nil {
		return Channels{}, err
	}
	answers, missing, err := l.nodes.AskAll(ctx, askChannels, data)
	if err != nil {
		return Channels{}, err
	}
	var told []channelsTold
	for _, data := range answers {
		var t channelsTold
		if err := cbor.Unmarshal(data, &t); err != nil {
			missing++
			continue
		}
		told = append(told, t)
	}
	page := mergeChannels(told, limit)
	page.Missing = missing
	return page, nil
}

func (l *Live) ownChannels(_ context.Context, data []byte) ([]byte, error) {
	var a channelsAsked
	if err := cbor.Unmarshal(data, &a); err != nil || a.Limit < 1 || a.Limit > MaxChannels {
		return nil, earshot.Errorf(earshot.Invalid, "the question is not understood")
	}
	var t channelsTold
	t.Channels, t.More = l.nodes.Subscribed(a.App, a.After, a.Limit)
	return cbor.Marshal(t)
}

// mergeChannels makes one page of what nodes told. A node that has more says
// nothing of what is behind its last channel, so the page ends there.
func mergeChannels(told []channelsTold, limit int) Channels {
	sums := map[string]int{}
	end, cut := "", false // no channel behind end is known of all nodes
	for _, t := range told {
		for _, c := range t.Channels {
			sums[c.Name] += c.Subscriptions
		}
		if n := len(t.Channels); t.More && n > 0 {
			if last := t.Channels[n-1].Name; !cut || last < end {
				end, cut = last, true
			}
		}
	}
	page := Channels{Channels: make([]Channel, 0, len(sums)), More: cut}
	for name, n := range sums {
		if cut && name > end {
			continue
		}
		page.Channels = append(page.Channels, Channel{name, n})
	}
	slices.SortFunc(page.Channels, func(a, b Channel) int { return strings.Compare(a.Name, b.Name) })
	if len(page.Channels) > limit {
		page.Channels, page.More = page.Channels[:limit], true
	}
	return page
}
