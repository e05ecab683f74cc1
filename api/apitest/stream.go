package apitest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// isStream reports whether an answer is one of Server-Sent Events.
func (a *answer) isStream() bool {
	return strings.HasPrefix(a.Header().Get("Content-Type"), "text/event-stream")
}

// The fields of an event, in the order in which the broker sends them.
var (
	eventForm = regexp.MustCompile(`\A(?:id: (\d+)\.([A-Za-z0-9-]+)\n)?event: ([a-z-]+)\ndata: (\{[^\r\n]*\})\z`)
	beatForm  = regexp.MustCompile(`\A:\z`)
)

// checkEvents checks a stream: its form, that what is a message or a failure is what the document says,
// and that no message is missing or comes twice without a word. The reader may have left in the middle
// of an event.
func (d *document) checkEvents(stream string) error {
	blocks := strings.Split(stream, "\n\n")
	next := int64(-1)
	for i, block := range blocks[:len(blocks)-1] {
		if beatForm.MatchString(block) {
			continue
		}
		event := eventForm.FindStringSubmatch(block)
		if event == nil {
			return fmt.Errorf("event %d is not written like one: %q", i, block)
		}
		var data struct {
			Offset int64 `json:"offset"`
			Next   int64 `json:"next_offset"`
			First  int64 `json:"first_offset"`
		}
		if err := json.Unmarshal([]byte(event[4]), &data); err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
		var seen int64 // all below it
		var err error
		switch event[3] {
		case "message":
			err = d.checkData("LogMessage", event[4])
			if seen = data.Offset + 1; next >= 0 && data.Offset != next {
				err = fmt.Errorf("offset %d after %d", data.Offset, next-1)
			}
		case "caught-up":
			if seen = data.Next; next >= 0 && seen != next {
				err = fmt.Errorf("the end %d after %d", seen, next-1)
			}
		case "trimmed":
			if seen = data.First; seen <= next {
				err = fmt.Errorf("trimmed to %d after %d", seen, next-1)
			}
		case "error":
			err = d.checkData("Failure", event[4])
			seen = 0
			if i != len(blocks)-2 {
				err = fmt.Errorf("something follows the error: %q", blocks[i+1])
			}
		default:
			err = fmt.Errorf("it is called %q", event[3])
		}
		id := ""
		if seen > 0 {
			id = fmt.Sprint(seen - 1)
		}
		if err == nil && event[1] != id {
			err = fmt.Errorf("its id is %q, want that of %q", event[1], id)
		}
		if err != nil {
			return fmt.Errorf("event %d: %w: %s", i, err, block)
		}
		next = seen
	}
	return nil
}

func (d *document) checkData(schema, data string) error {
	var v any
	if err := json.Unmarshal([]byte(data), &v); err != nil {
		return err
	}
	return d.doc.Components.Schemas[schema].Value.VisitJSON(v, openapi3.VisitAsResponse())
}
