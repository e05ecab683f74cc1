//go:build browser

package browsertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestEventSource: a page reads a topic by a stream. Its connections are cut again and again, also
// while messages are on their way; the browser connects anew by itself, and the page sees every message
// once and in order.
func TestEventSource(t *testing.T) {
	t.Parallel()
	c := newCutter(t)
	broker := startBroker(t, "--allow-host="+c.address())
	c.serve(t, broker)
	topic := newTopic(t, broker, "browser")
	topic.produce(5)

	origin := "http://" + c.address()
	b := openBrowser(t, origin)
	b.do("opening a page", chromedp.Navigate(origin+"/healthz"))
	b.do("opening the stream", chromedp.Evaluate(`
		window.offsets = []; window.ends = []; window.ids = []; window.opened = 0;
		window.source = new EventSource("/topics/browser/stream?offset=0");
		source.addEventListener("open", () => opened++);
		source.addEventListener("message", event => {
			const data = JSON.parse(event.data);
			offsets.push(data.offset);
			ids.push(event.lastEventId.split(".")[0]);
			if (data.message !== "line 1\nline 2\u2028" + data.offset) offsets.push("garbled: " + event.data);
		});
		source.addEventListener("caught-up", event => ends.push(JSON.parse(event.data).next_offset));
		true`, nil))

	const rounds = 4
	for round := range rounds {
		b.waitFor(fmt.Sprintf(`ends.includes(%d)`, topic.next))
		if round%2 == 0 {
			c.cut()
			topic.produce(5) // while nobody is connected
		} else {
			topic.produce(500)
			c.cut() // perhaps in the middle of them, perhaps when all have come
		}
		// Else the next cut might find nothing to cut.
		b.waitFor(fmt.Sprintf(`opened >= %d`, round+2))
	}
	b.waitFor(fmt.Sprintf(`ends.includes(%d)`, topic.next))

	var offsets, ids []any
	b.do("reading what came", chromedp.Evaluate(`offsets`, &offsets), chromedp.Evaluate(`ids`, &ids))
	if len(offsets) != topic.next {
		t.Errorf("%d messages came, want %d", len(offsets), topic.next)
	}
	for i := range offsets {
		if fmt.Sprint(offsets[i]) != strconv.Itoa(i) || fmt.Sprint(ids[i]) != strconv.Itoa(i) {
			t.Fatalf("message %d is %v with the id %v", i, offsets[i], ids[i])
		}
	}
	if got := strings.Count(c.heard(), "Last-Event-ID: "); got < rounds {
		t.Errorf("the browser went on by Last-Event-ID %d times, want %d", got, rounds)
	}

	// A topic that is gone ends the stream for good: the browser is told by the refusal.
	topic.call(http.MethodDelete, "/topics/browser", nil)
	b.waitFor(`source.readyState === EventSource.CLOSED`)
}

// TestDocumentedEventSource runs what docs/clients.md shows to whoever writes a page.
func TestDocumentedEventSource(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "clients.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```js\n")
	script, _, ended := strings.Cut(rest, "```")
	if !found || !ended || strings.Contains(rest[len(script)+3:], "```js") {
		t.Fatal("docs/clients.md has not exactly one block of JavaScript")
	}
	origin := startBroker(t)
	topic := newTopic(t, origin, "greetings")
	topic.produce(2)
	b := openBrowser(t, origin)
	b.do("opening a page", chromedp.Navigate(origin+"/healthz"))
	b.do("running the script", chromedp.Evaluate(`window.said = []; console.log = (...all) => said.push(all.join(" ")); true`, nil),
		chromedp.Evaluate(script+"; true", nil))
	topic.produce(1)
	b.waitFor(`said.length >= 3`)
	var said []string
	b.do("reading what it said", chromedp.Evaluate(`said`, &said))
	for i, line := range said {
		if want := topic.text(i); line != want {
			t.Errorf("it said %q, want %q", line, want)
		}
	}
}

// waitFor waits until a condition holds on the page.
func (b *browser) waitFor(condition string) {
	b.t.Helper()
	b.do("waiting for "+condition, chromedp.Poll(condition, nil))
}

// topic is a topic that a test fills, beside the browser.
type topic struct {
	t         *testing.T
	url, name string
	producer  int64
	next      int
}

func newTopic(t *testing.T, url, name string) *topic {
	t.Helper()
	p := &topic{t: t, url: url, name: name}
	var registered struct {
		ID int64 `json:"producer_id"`
	}
	p.call(http.MethodPost, "/producer/register", map[string]any{"topic": name}, &registered)
	p.producer = registered.ID
	return p
}

// produce stores n messages.
func (p *topic) produce(n int) {
	p.t.Helper()
	messages := make([]map[string]any, n)
	for i := range messages {
		messages[i] = map[string]any{"message": p.text(p.next + i)}
	}
	p.call(http.MethodPost, "/producer/produce", map[string]any{
		"topic": p.name, "producer_id": p.producer, "messages": messages,
	})
	p.next += n
}

// text is the message at an offset.
func (*topic) text(offset int) string { return fmt.Sprintf("line 1\nline 2\u2028%d", offset) }

// call calls the broker, which must succeed.
func (p *topic) call(method, path string, body any, into ...any) {
	p.t.Helper()
	sent := &bytes.Buffer{}
	if body != nil {
		if err := json.NewEncoder(sent).Encode(body); err != nil {
			p.t.Fatal(err)
		}
	}
	request, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, sent)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		p.t.Fatalf("%s %s answers %s", method, path, response.Status)
	}
	for _, v := range into {
		if err := json.NewDecoder(response.Body).Decode(v); err != nil {
			p.t.Fatal(err)
		}
	}
}
