package epl

import "strings"

// General is the topic that stands for the whole app.
const General = "#general"

// Channel is the channel that a scope's events go to in an app (A.5 step 5): the
// name of the Phoenix topic that its clients have joined, slug included.
func Channel(scope, slug string) string { return scope + ":" + slug }

// Event is the event that they hear (A.5 step 6): the topic's name before the
// event's, and the event alone where it is for the whole app. Either may hold
// colons, so that nobody can take it apart again, and nobody has to: it stays
// whole, in every protocol.
func Event(topic, event string) string {
	if topic == General {
		return event
	}
	return topic + ":" + event
}

// reservedEvents is how events begin that only Phoenix itself says.
const reservedEvents = "phx_"

// maxEvent is how many bytes an event may have in every protocol of Phoenix.
const maxEvent = 255

func reserved(event string) bool { return strings.HasPrefix(event, reservedEvents) }
