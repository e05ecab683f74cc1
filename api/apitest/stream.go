package apitest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// isStream reports whether an answer is one of Server-Sent Events.
func (a *answer) isStream() bool {
	return strings.HasPrefix(a.Header().Get("Content-Type"), "text/event-stream")
}

// checkEvents checks a stream: its form, that what is a message or a failure is what the document says,
// and that no message is missing or comes twice without a word. The reader may have left in the middle
// of an event.
func (d *document) checkEvents(stream string) error {
	// The fields of an event, in the order in which the broker sends them.
	form := regexp.MustCompile(`\A(?:id: (\d+)\.([A-Za-z0-9-]+)\n)?event: ([a-z-]+)\ndata: (\{[^\r\n]*\})\z`)
	blocks := strings.Split(stream, "\n\n")
	next := int64(-1)
	for i, block := range blocks[:len(blocks)-1] {
		if block == ":" {
			continue // a sign of life
		}
		event := form.FindStringSubmatch(block)
		if event == nil {
			return fmt.Errorf("event %d is not written like one: %q", i, block)
		}
		seen, err := d.checkEvent(event[3], event[4], next)
		if err == nil && event[3] == "error" && i != len(blocks)-2 {
			err = fmt.Errorf("something follows the error: %q", blocks[i+1])
		}
		id := ""
		if seen > 0 {
			id = strconv.FormatInt(seen-1, 10)
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

// checkEvent checks an event after which the reader has seen all below an offset, which it returns; 0 for
// one without an id. next is that of the event before, −1 if there was none.
func (d *document) checkEvent(name, text string, next int64) (seen int64, err error) {
	var data struct {
		Offset int64 `json:"offset"`
		Next   int64 `json:"next_offset"`
		First  int64 `json:"first_offset"`
	}
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		return 0, err
	}
	switch name {
	case "message":
		if next >= 0 && data.Offset != next {
			return 0, fmt.Errorf("offset %d after %d", data.Offset, next-1)
		}
		return data.Offset + 1, d.checkData("LogMessage", text)
	case "caught-up":
		if next >= 0 && data.Next != next {
			return 0, fmt.Errorf("the end %d after %d", data.Next, next-1)
		}
		return data.Next, nil
	case "trimmed":
		if data.First <= next {
			return 0, fmt.Errorf("trimmed to %d after %d", data.First, next-1)
		}
		return data.First, nil
	case "error":
		return 0, d.checkData("Failure", text)
	}
	return 0, fmt.Errorf("it is called %q", name)
}

func (d *document) checkData(schema, data string) error {
	var v any
	if err := json.Unmarshal([]byte(data), &v); err != nil {
		return err
	}
	return d.doc.Components.Schemas[schema].Value.VisitJSON(v, openapi3.VisitAsResponse())
}
