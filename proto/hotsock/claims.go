package hotsock

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits of claims (spec §6).
const (
	maxUID       = 128        // characters
	maxUMD       = 1 << 10    // bytes
	maxStore     = 3155695200 // seconds
	minHeartbeat = 5          // seconds
	maxHeartbeat = 600        // seconds
)

// A proof is what a token says (spec §3.2). It is shared by all who showed the
// same token, and never changed.
type proof struct {
	identity earshot.Identity
	*channels
	scope        scope
	singleUse    bool
	keepAlive    bool
	heartbeat    time.Duration // 0 for none
	connectionID string        // empty if it is not bound to a connection
	// umdUpdate and umdPropagate are of scope umd (spec §3.2).
	umdUpdate, umdPropagate bool
}

// A scope is what a token may be used for.
type scope uint8

const (
	scopeConnect scope = 1 << iota
	scopeSubscribe
	scopeUMD
)

// channels are what the claim of that name says.
type channels struct {
	grants []earshot.Grant
	// auto are the channels to subscribe to when the connection opens.
	auto []string
}

// claims is a token's payload. A pointer is nil if the member is absent or null.
type claims struct {
	Scope     *string        `json:"scope"`
	UID       *string        `json:"uid"`
	UMD       jsontext.Value `json:"umd"`
	SingleUse *bool          `json:"singleUse"`
	KeepAlive *bool          `json:"keepAlive"`
	Heartbeat *float64       `json:"heartbeatTimeout"`
	Conn      *string        `json:"connectionId"`
	Update    *bool          `json:"umdUpdate"`
	Propagate *bool          `json:"umdPropagate"`
	Channels  jsontext.Value `json:"channels"`
}

// channelClaim is one entry of channels (spec §3.3).
type channelClaim struct {
	Subscribe     *bool                 `json:"subscribe"`
	AutoSubscribe *bool                 `json:"autoSubscribe"`
	Alias         *string               `json:"alias"`
	GetInfo       *bool                 `json:"getInfo"`
	HistoryStart  *auth.NumericDate     `json:"historyStart"`
	Messages      map[string]eventClaim `json:"messages"`
	Storage       map[string]entryClaim `json:"storage"`
	OmitCount     *bool                 `json:"omitFromSubCount"`
	Update        *bool                 `json:"umdUpdate"`
}

// entryClaim is one entry of storage (spec §3.5).
type entryClaim struct {
	Observe        *bool             `json:"observe"`
	Get            *bool             `json:"get"`
	Set            *bool             `json:"set"`
	Emit           *bool             `json:"emitPubSubEvent"`
	Store          *float64          `json:"store"`
	ScheduleBefore *auth.NumericDate `json:"scheduleBefore"`
}

// eventClaim is one entry of messages (spec §3.4).
type eventClaim struct {
	Publish   *bool    `json:"publish"`
	Broadcast *bool    `json:"broadcast"`
	Echo      *bool    `json:"echo"`
	Emit      *bool    `json:"emitPubSubEvent"`
	Store     *float64 `json:"store"`

	ScheduleBefore *auth.NumericDate `json:"scheduleBefore"`
	React          jsontext.Value    `json:"react"`
}

func badClaim(format string, args ...any) error {
	return &earshot.Error{Code: earshot.Unauthenticated, Reason: "TOKEN_CLAIMS", Text: fmt.Sprintf(format, args...)}
}

// decode reads JSON whose types must be right.
func decode(data []byte, into any) error {
	err := json.Unmarshal(data, into)
	if err == nil {
		return nil
	}
	var wrong *json.SemanticError
	if errors.As(err, &wrong) {
		return badClaim("the claim %s has the wrong type", wrong.JSONPointer)
	}
	return badClaim("the claims cannot be read")
}

// A claimReader makes proofs. Tokens that say the same of channels share it:
// there may be as many tokens as connections.
type claimReader struct {
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]*channels
}

// sharedChannels is how many channels claims are remembered at least.
const sharedChannels = 1024

// read is the auth.Reader of this protocol.
func (r *claimReader) read(t *auth.Token, data []byte) (any, error) {
	var c claims
	if err := decode(data, &c); err != nil {
		return nil, err
	}
	p := &proof{identity: earshot.Identity{App: t.App.Slug, Expires: t.Expires}}
	if err := p.fill(&c); err != nil {
		return nil, err
	}
	shared, err := r.channels(c.Channels)
	if err != nil {
		return nil, err
	}
	p.channels = shared
	p.identity.Grants = shared.grants
	return p, nil
}

// fill takes over all claims but channels.
func (p *proof) fill(c *claims) error {
	p.singleUse = isTrue(c.SingleUse)
	p.keepAlive = isTrue(c.KeepAlive)
	p.umdUpdate, p.umdPropagate = isTrue(c.Update), isTrue(c.Propagate)
	if c.Conn != nil {
		p.connectionID = *c.Conn
	}
	if c.Scope != nil {
		p.scope = parseScope(*c.Scope)
	}
	if c.UID != nil {
		if utf8.RuneCountInString(*c.UID) > maxUID {
			return badClaim("uid is longer than 128 characters")
		}
		p.identity.UID, p.identity.HasUID = *c.UID, true
	}
	if c.UMD != nil && c.UMD.Kind() != 'n' {
		if len(c.UMD) > maxUMD {
			return badClaim("umd is larger than 1 KiB")
		}
		p.identity.Meta = slices.Clone(c.UMD)
	}
	if c.Heartbeat != nil {
		if h := *c.Heartbeat; h != math.Trunc(h) || h < minHeartbeat || h > maxHeartbeat {
			return badClaim("heartbeatTimeout is a whole number of seconds from 5 to 600")
		}
		p.heartbeat = time.Duration(*c.Heartbeat) * time.Second
	}
	return nil
}

func isTrue(b *bool) bool { return b != nil && *b }

// parseScope reads space-separated scopes; unknown ones are ignored.
func parseScope(text string) (s scope) {
	for word := range strings.FieldsSeq(text) {
		switch word {
		case "connect":
			s |= scopeConnect
		case "subscribe":
			s |= scopeSubscribe
		case "umd":
			s |= scopeUMD
		}
	}
	return s
}

// channels returns what a channels claim says, shared with the tokens before
// that said the same.
func (r *claimReader) channels(claim jsontext.Value) (*channels, error) {
	if claim == nil || claim.Kind() == 'n' {
		return &channels{}, nil
	}
	sum := sha256.Sum256(claim)
	r.mu.Lock()
	known := r.known(sum)
	r.mu.Unlock()
	if known != nil {
		return known, nil
	}
	made, err := parseChannels(claim)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.known(sum); known != nil {
		return known, nil
	}
	r.add(sum, made)
	return made, nil
}

// known finds a claim in either generation; the reader is locked.
func (r *claimReader) known(sum [sha256.Size]byte) *channels {
	if c := r.young[sum]; c != nil {
		return c
	}
	c := r.old[sum]
	if c != nil {
		r.add(sum, c)
	}
	return c
}

func (r *claimReader) add(sum [sha256.Size]byte, c *channels) {
	if len(r.young) >= sharedChannels {
		r.old, r.young = r.young, nil
	}
	if r.young == nil {
		r.young = map[[sha256.Size]byte]*channels{}
	}
	r.young[sum] = c
}

func parseChannels(claim jsontext.Value) (*channels, error) {
	var keys map[string]channelClaim
	if err := decode(claim, &keys); err != nil {
		return nil, err
	}
	out := &channels{grants: make([]earshot.Grant, 0, len(keys))}
	aliases := map[string]bool{}
	for _, key := range sorted(keys) {
		c := keys[key]
		g, err := grant(key, &c)
		if err != nil {
			return nil, err
		}
		name, exact := g.Channel.Literal()
		if exact && g.Allow.Has(earshot.AutoSubscribe) {
			out.auto = append(out.auto, name)
		}
		if exact && c.Alias != nil && aliasFits(*c.Alias, keys, aliases) {
			aliases[*c.Alias] = true
			g.Alias = *c.Alias
		}
		out.grants = append(out.grants, g)
	}
	return out, nil
}

// aliasFits reports whether an alias is one: a valid name that neither another
// alias nor a channel of the token has.
func aliasFits(alias string, keys map[string]channelClaim, aliases map[string]bool) bool {
	_, taken := keys[alias]
	return !taken && !aliases[alias] && checkChannel(alias) == nil
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func grant(key string, c *channelClaim) (earshot.Grant, error) {
	match, err := pattern(key)
	if err != nil {
		return earshot.Grant{}, badClaim("the channel key %q is not a valid regular expression", key)
	}
	g := earshot.Grant{Channel: match}
	_, exact := match.Literal()
	set(&g.Allow, &g.Deny, earshot.Subscribe, c.Subscribe)
	set(&g.Allow, &g.Deny, earshot.Info, c.GetInfo)
	set(&g.Allow, &g.Deny, earshot.Uncounted, c.OmitCount)
	set(&g.Allow, &g.Deny, earshot.UpdateMeta, c.Update)
	// Subscribing by claim is for exact keys only; it implies the permission.
	if exact && isTrue(c.AutoSubscribe) {
		g.Allow |= earshot.AutoSubscribe | earshot.Subscribe
	}
	if c.HistoryStart != nil {
		start := c.HistoryStart.Time()
		g.HistoryStart = &start
	}
	if len(c.Messages) > 0 {
		g.Events = make([]earshot.EventGrant, 0, len(c.Messages))
	}
	for _, event := range sorted(c.Messages) {
		e, err := eventGrant(event, c.Messages[event])
		if err != nil {
			return g, err
		}
		g.Events = append(g.Events, e)
	}
	if len(c.Storage) > 0 {
		g.Entries = make([]earshot.EntryGrant, 0, len(c.Storage))
	}
	for _, key := range sorted(c.Storage) {
		e, err := entryGrant(key, c.Storage[key])
		if err != nil {
			return g, err
		}
		g.Entries = append(g.Entries, e)
	}
	return g, nil
}

func eventGrant(key string, c eventClaim) (earshot.EventGrant, error) {
	match, err := pattern(key)
	if err != nil {
		return earshot.EventGrant{}, badClaim("the event key %q is not a valid regular expression", key)
	}
	g := earshot.EventGrant{Event: match}
	set(&g.Allow, &g.Deny, earshot.Publish, c.Publish)
	set(&g.Allow, &g.Deny, earshot.Broadcast, c.Broadcast)
	set(&g.Allow, &g.Deny, earshot.Echo, c.Echo)
	set(&g.Allow, &g.Deny, earshot.Emit, c.Emit)
	if c.Store != nil {
		if g.Store, err = storeFor(*c.Store); err != nil {
			return g, err
		}
	}
	g.ScheduleBefore = moment(c.ScheduleBefore)
	g.React, err = reactions(c.React)
	return g, err
}

// entryGrant reads one entry of storage (spec §3.5).
func entryGrant(key string, c entryClaim) (earshot.EntryGrant, error) {
	match, err := pattern(key)
	if err != nil {
		return earshot.EntryGrant{}, badClaim("the storage key %q is not a valid regular expression", key)
	}
	g := earshot.EntryGrant{Key: match, ScheduleBefore: moment(c.ScheduleBefore)}
	set(&g.Allow, &g.Deny, earshot.Observe, c.Observe)
	set(&g.Allow, &g.Deny, earshot.ReadEntry, c.Get)
	set(&g.Allow, &g.Deny, earshot.WriteEntry, c.Set)
	set(&g.Allow, &g.Deny, earshot.Emit, c.Emit)
	if c.Store != nil {
		if g.Store, err = storeFor(*c.Store); err == nil && g.Store == 0 {
			err = badClaim("store of a storage key is not 0")
		}
	}
	return g, err
}

// moment is a date, zero for none.
func moment(d *auth.NumericDate) time.Time {
	if d == nil {
		return time.Time{}
	}
	return d.Time()
}

// reactions reads true, false or a list of values.
func reactions(v jsontext.Value) (r earshot.Reactions, err error) {
	switch v.Kind() {
	case 0, 'n':
		return r, nil
	case 't':
		return earshot.Reactions{Any: true}, nil
	case 'f':
		return earshot.Reactions{Deny: true}, nil
	}
	if json.Unmarshal(v, &r.Values) != nil {
		return r, badClaim("react is true, false or a list of strings")
	}
	return r, nil
}

// set enters one directive: true allows, an explicit false denies.
func set(allow, deny *earshot.Action, a earshot.Action, said *bool) {
	switch {
	case said == nil:
	case *said:
		*allow |= a
	default:
		*deny |= a
	}
}

// storeFor reads seconds to store: -1 for ever.
func storeFor(seconds float64) (time.Duration, error) {
	switch {
	case seconds != math.Trunc(seconds) || seconds < -1 || seconds > maxStore:
		return 0, badClaim("store is a whole number of seconds, from -1 to 3155695200")
	case seconds == -1:
		return earshot.Forever, nil
	}
	return time.Duration(seconds) * time.Second, nil
}
