package client

import (
	"encoding/json"
	"fmt"
)

// An Answer is what the server said to a publish, not decoded: few programs
// need it.
type Answer struct {
	// Status is the HTTP status.
	Status int
	// Raw is the body.
	Raw []byte
	// Version is the version of the function that published, if it said so.
	Version string

	count int // of messages
}

// A Published is what became of a message.
type Published struct {
	Channel string `json:"channel"`
	Event   string `json:"event"`
	// ID is the message's, if it was asked for.
	ID string `json:"id"`
	// ScheduleARN names the schedule of a message that is published later.
	ScheduleARN string `json:"scheduleArn"`
	// Err is why the message was not published; it is set by DecodeAll only.
	Err error `json:"-"`
}

// Decode reads the answer to Publish.
func (a *Answer) Decode() (Published, error) {
	var p Published
	if err := json.Unmarshal(a.Raw, &p); err != nil {
		return Published{}, fmt.Errorf("client: the answer is not understood: %w", err)
	}
	return p, nil
}

// DecodeAll reads the answer to PublishAll: what became of each message, in
// their order.
func (a *Answer) DecodeAll() ([]Published, error) {
	var all []struct {
		Published
		Error *Error `json:"error"`
	}
	if err := json.Unmarshal(a.Raw, &all); err != nil {
		return nil, fmt.Errorf("client: the answer is not understood: %w", err)
	}
	if len(all) != a.count {
		return nil, fmt.Errorf("client: %d messages were answered by %d results", a.count, len(all))
	}
	out := make([]Published, len(all))
	for i, one := range all {
		out[i] = one.Published
		if one.Error != nil {
			one.Error.Unsure = one.Error.Code == "UNKNOWN_OUTCOME"
			out[i].Err = one.Error
		}
	}
	return out, nil
}

// A BatchError is the failure of PublishAll if some messages were published and
// others were not.
type BatchError struct {
	// Errs holds the error of each message, nil for those that were published.
	Errs []error
}

// Error counts the failures and shows the first.
func (e *BatchError) Error() string {
	failed, first := 0, ""
	for i, err := range e.Errs {
		if err == nil {
			continue
		}
		if failed++; failed == 1 {
			first = fmt.Sprintf("message %d: %v", i, err)
		}
	}
	return fmt.Sprintf("%d of %d messages were not published, the first is %s", failed, len(e.Errs), first)
}

// Unwrap returns the errors that there are.
func (e *BatchError) Unwrap() []error {
	var all []error
	for _, err := range e.Errs {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}
