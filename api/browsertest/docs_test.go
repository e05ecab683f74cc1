//go:build browser

package browsertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestDocs is one visit of /docs: look at it, and try the calls that take a
// message through the broker.
func TestDocs(t *testing.T) {
	t.Parallel()
	origin := startBroker(t)
	b := openBrowser(t, origin)
	b.do("opening /docs", chromedp.Navigate(origin+"/docs"), chromedp.WaitVisible(".opblock"))

	want := documented(t, origin)
	if got := b.shown(); !slices.Equal(got, want) {
		t.Errorf("the page shows\n%s\nthe document has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	producer := b.open("producers", "registerProducer").body(`{"topic": "browser", "prod_name": "person"}`).execute()
	if producer.ProducerID == nil {
		t.Fatal("no producer_id")
	}
	stored := b.open("producers", "produce").body(fmt.Sprintf(
		`{"topic": "browser", "producer_id": %d, "seq": 0, "message": "Grüße from a page"}`, *producer.ProducerID)).execute()
	if stored.Offset == nil || *stored.Offset != 0 || stored.Duplicate == nil || *stored.Duplicate {
		t.Errorf("produce answered %s", stored.text)
	}
	consumer := b.open("consumers", "registerConsumer").body(`{"topic": "browser"}`).execute()
	if consumer.ConsumerID == nil {
		t.Fatal("no consumer_id")
	}
	id := strconv.FormatInt(*consumer.ConsumerID, 10)
	taken := b.open("consumers", "consume").parameters(map[string]string{"topic": "browser", "consumer_id": id}).execute()
	if taken.Message == nil || *taken.Message != "Grüße from a page" || taken.Offset == nil || *taken.Offset != 1 {
		t.Errorf("consume answered %s", taken.text)
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	t.Logf("the page made %d requests", len(b.requests))
	if !slices.ContainsFunc(b.requests, func(url string) bool { return strings.HasPrefix(url, origin+"/consumer/consume?") }) {
		t.Errorf("the page's requests were not seen: %q", b.requests)
	}
	for _, url := range b.strays {
		t.Errorf("a request left the origin: %s", url)
	}
	for _, text := range b.errors {
		t.Errorf("an error on the console: %s", text)
	}
}

// documented returns the operations of the document, as "METHOD path", sorted.
func documented(t *testing.T, origin string) (operations []string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, origin+"/openapi.json", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var document struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.NewDecoder(response.Body).Decode(&document); err != nil {
		t.Fatal(err)
	}
	for path, members := range document.Paths {
		for member := range members {
			if member != "parameters" {
				operations = append(operations, strings.ToUpper(member)+" "+path)
			}
		}
	}
	slices.Sort(operations)
	return operations
}
