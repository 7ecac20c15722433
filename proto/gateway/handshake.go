package gateway

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/earshot-io/earshot"
	"github.com/earshot-io/earshot/auth"
	"github.com/earshot-io/earshot/auth/sigv4"
	core "github.com/earshot-io/earshot/gateway"
	"github.com/earshot-io/earshot/proto"
)

// A handshake is one client on its way in (4.1).
type handshake struct {
	p         *Protocol
	request   *proto.Request
	begun     time.Time
	requestID string
	place
	id    earshot.ConnID
	conn  core.Connection
	route *core.Route // of $connect; nil where there is none
	shown *core.Handshake
}

// admit takes all steps in their order. An error is a *proto.Refusal.
func (h *handshake) admit(ctx context.Context) (proto.Admission, error) {
	at, _ := h.p.locate(h.request.HTTP)
	if at.stage == nil {
		return proto.Admission{}, h.refuse(http.StatusForbidden, errNoStage)
	}
	h.place, h.id, h.route = at, earshot.NewConnID(), at.stage.Route(core.ConnectRoute)
	if h.p.endings.behind(h.app.Slug) || !h.p.waiting.enter(h.app.Slug) {
		return proto.Admission{}, h.refuse(http.StatusTooManyRequests, errTooMany)
	}
	defer h.p.waiting.leave(h.app.Slug)
	h.describe()
	if err := h.judge(ctx); err != nil {
		return proto.Admission{}, err
	}
	answer, err := h.connect()
	if err != nil {
		return proto.Admission{}, err
	}
	s := newSession(h, answer)
	if !h.p.endings.begin() {
		return proto.Admission{}, h.refuse(http.StatusServiceUnavailable, errStopped)
	}
	if err := h.p.endings.keep(ctx, s); err != nil {
		s.lost()
		return proto.Admission{}, h.refuse(http.StatusServiceUnavailable, err)
	}
	return proto.Admission{
		App: h.app, Identity: h.identity(), Subprotocol: h.subprotocol(answer), ID: h.id, Lost: s.lost, State: s,
	}, nil
}

// judge lets in who may ask the integration: throttle, key, authorizer.
func (h *handshake) judge(ctx context.Context) error {
	r := h.request.HTTP
	if err := h.p.deps.Gate.Admit(h.app, auth.WayOf(r, h.request.Secure)); err != nil {
		return h.refuse(http.StatusForbidden, err)
	}
	if !h.p.throttles.Allow(h.stage, core.ConnectRoute, h.begun) {
		return h.refuse(http.StatusTooManyRequests, errTooMany)
	}
	if h.route == nil {
		return nil
	}
	fromAuthorizer := h.stage.API.APIKeySelection == usageKeySelection
	if h.route.APIKeyRequired && !fromAuthorizer {
		if err := h.showKey(r.Header.Get("X-Api-Key")); err != nil {
			return err
		}
	}
	usageKey, err := h.authorize(ctx)
	if err != nil {
		return err
	}
	if h.route.APIKeyRequired && fromAuthorizer {
		return h.showKey(usageKey)
	}
	return nil
}

// usageKeySelection takes the API key from the authorizer's answer (8.8).
const usageKeySelection = "$context.authorizer.usageIdentifierKey"

// showKey judges an API key, and takes it from its usage plan.
func (h *handshake) showKey(value string) error {
	for i := range h.stage.API.APIKeys {
		k := &h.stage.API.APIKeys[i]
		if value == "" || subtle.ConstantTimeCompare([]byte(k.Value), []byte(value)) != 1 {
			continue
		}
		h.conn.APIKey, h.conn.APIKeyID = k.Value, k.ID
		if !h.p.throttles.AllowKey(h.stage.API, k, h.begun) {
			return h.refuse(http.StatusTooManyRequests, errTooMany)
		}
		return nil
	}
	return h.refuse(http.StatusForbidden, errAPIKey)
}

// authorize asks whoever authorizes $connect, and returns the key that it names.
func (h *handshake) authorize(ctx context.Context) (usageKey string, err error) {
	switch h.route.AuthorizationType {
	case "AWS_IAM":
		return "", h.checkSignature()
	case "CUSTOM":
	default:
		return "", nil
	}
	if h.p.deps.Gateways == nil {
		return "", h.failed(errNoBackends)
	}
	v, err := h.p.deps.Gateways.Authorize(ctx, h.app, h.event())
	if err != nil {
		return "", h.failed(err)
	}
	h.conn.Authorizer = v.Context
	return v.UsageKey, nil
}

// checkSignature judges a handshake that is signed with Signature Version 4 (8.7).
func (h *handshake) checkSignature() error {
	r := h.request.HTTP
	signature, err := sigv4.Parse(r)
	if err != nil {
		return h.refuse(http.StatusForbidden, err)
	}
	app, key := h.p.deps.Apps.ByAccessKey(signature.KeyID)
	if key == nil {
		return h.refuse(http.StatusForbidden, sigv4.ErrUnknownKey())
	}
	if err := signature.Verify(r, nil, key.Secret, time.Now(), sigv4.Policy{Service: service}); err != nil {
		return h.refuse(http.StatusForbidden, err)
	}
	if app.Slug != h.app.Slug || !allows(key, earshot.InvokeAPI, h.stage, core.ConnectRoute) {
		return h.refuse(http.StatusForbidden, errDenied)
	}
	h.conn.AccessKey = key.ID
	return nil
}

// connect asks the $connect integration, and returns its yes (4.3). It is heard to
// its end if the client goes meanwhile, so that who said yes is told of that.
func (h *handshake) connect() (*core.Answer, error) {
	if h.route == nil || h.route.Integration == nil {
		return &core.Answer{Status: http.StatusOK}, nil
	}
	answer, err := h.p.integrate(h.p.endings.ctx, h.app, h.event())
	switch {
	case err != nil:
		return nil, h.failed(err)
	case answer.Status >= 200 && answer.Status <= 299:
		return answer, nil
	case answer.Status < 200 || answer.Status > 599:
		return nil, h.refuse(http.StatusBadGateway, errStatus)
	}
	return nil, h.refuse(answer.Status, errRejected)
}

// failed is the refusal of who could not be asked, or said no (4.3, 4.4).
func (h *handshake) failed(err error) error {
	var f *core.Failure
	if !errors.As(err, &f) {
		f = &core.Failure{Kind: core.Raised, Err: err}
	}
	status := statusOf(f.Kind)
	if status == http.StatusInternalServerError && f.Kind == core.AuthorizerFailed {
		return h.refuseAs(status, "AuthorizerConfigurationException", err)
	}
	if f.Kind == core.Denied {
		return h.refuseAs(status, "AccessDeniedException", err)
	}
	return h.refuse(status, err)
}

// event is what authorizer and integration are told.
func (h *handshake) event() *core.Event {
	return &core.Event{
		Type: core.Connect, Stage: h.stage, Route: h.route, Conn: &h.conn, RequestID: h.requestID, Time: time.Now(), Handshake: h.shown,
	}
}

// identity is who the client is to the rest of the server: whom its authorizer
// named, or the key that signed.
func (h *handshake) identity() *earshot.Identity {
	id := &earshot.Identity{App: h.app.Slug}
	if name, ok := h.conn.Authorizer["principalId"]; ok {
		id.UID, id.HasUID = name, true
	} else if h.conn.AccessKey != "" {
		id.UID, id.HasUID = h.conn.AccessKey, true
	}
	return id
}

// subprotocol is what the handshake is answered with (3.4): what the integration
// chose, else what the API does. What the client did not offer it must not be told.
func (h *handshake) subprotocol(answer *core.Answer) string {
	offered := h.request.Subprotocols
	if answer.Subprotocol != "" {
		if slices.Contains(offered, answer.Subprotocol) {
			return answer.Subprotocol
		}
		h.p.deps.Log.Warn("the $connect integration chose a subprotocol that was not offered", "app", h.app.Slug, "api", h.stage.API.ID)
		return ""
	}
	for _, s := range h.stage.API.Subprotocols {
		if slices.Contains(offered, s) {
			return s
		}
	}
	return ""
}
