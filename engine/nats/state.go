package nats

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// get reads the newest value of a key of the state, from the stream's leader;
// revision 0 says that there is none.
func (l *link) get(ctx context.Context, key string) (data []byte, revision uint64, err error) {
	m, err := l.state.GetLastMsgForSubject(ctx, subjectState+key)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, 0, nil
	case err != nil:
		return nil, 0, err
	}
	return m.Data, m.Sequence, nil
}

// put writes a key, if it still has the revision.
func (l *link) put(ctx context.Context, key string, data []byte, revision uint64) error {
	_, err := l.js.Publish(ctx, subjectState+key, data, jetstream.WithExpectLastSequencePerSubject(revision))
	return err
}

// isConflict reports whether a write failed because another one came first.
func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (int(api.ErrorCode) == codeWrongLast || int(api.ErrorCode) == codeWrongLast2)
}
