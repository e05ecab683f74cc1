package api_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/service"
)

// limitedToken makes a token by a call, with quotas, and returns the header that has it.
func (w *world) limitedToken(admin []string, quota string) []string {
	w.tb.Helper()
	r := w.send(http.MethodPost, "/tokens", `{"name":"guest","scopes":["produce:guest.*","consume:guest.*"],"quota":`+quota+`}`, admin...)
	text, ok := r.values["token"].(string)
	if !ok {
		w.tb.Fatalf("create a token: %d %s", r.status, r.text)
	}
	return []string{"Authorization", "Bearer " + text}
}

// limited calls an operation that a quota refuses, and checks what the refusal says.
func (w *world) limited(operation, quota, target, body string, header []string) {
	w.tb.Helper()
	r := w.call("rate_limited", operation, quota, target, body, header...)
	after, err := strconv.Atoi(r.header.Get("Retry-After"))
	if err != nil || after < 1 || r.status != http.StatusTooManyRequests || r.values["quota"] != quota {
		w.tb.Errorf("%s: %d %s, Retry-After %q", operation, r.status, r.text, r.header.Get("Retry-After"))
	}
}

// quotaRefusals has every operation refused that a quota can refuse.
func (w *world) quotaRefusals() {
	w.tb.Helper()
	admin := w.token("admin")
	guest := w.limitedToken(admin, `{"topics":1,"producers":1,"consumers":1}`)
	w.call("", "createTopic", "within the quota", "/topics", `{"name":"guest.a"}`, guest...)
	w.limited("createTopic", "token_topics", "/topics", `{"name":"guest.b"}`, guest)
	producer := w.call("", "registerProducer", "within the quota", "/producer/register", `{"topic":"guest.a","prod_name":"p"}`, guest...).id("producer_id")
	w.limited("registerProducer", "token_producers", "/producer/register", `{"topic":"guest.a"}`, guest)
	w.limited("registerProducer", "token_topics", "/producer/register", `{"topic":"guest.b","prod_name":"q"}`, guest)
	w.call("topic_not_found", "describeTopic", "a refusal creates nothing", "/topics/guest.b", "", guest...)
	consumer := w.call("", "registerConsumer", "within the quota", "/consumer/register", `{"topic":"guest.a","cons_name":"c"}`, guest...).id("consumer_id")
	w.limited("registerConsumer", "token_consumers", "/consumer/register", `{"topic":"guest.a"}`, guest)

	quota := func(text string) {
		w.tb.Helper()
		w.call("", "updateTopic", "a quota", "/topics/guest.a", `{"quota":`+text+`}`, admin...)
	}
	produce := fmt.Sprintf(`{"topic":"guest.a","producer_id":%d,"seq":%%d,"message":%%q}`, producer)
	quota(`{"stored_bytes":5,"producers":1,"consumers":1}`)
	w.limited("registerProducer", "topic_producers", "/producer/register", `{"topic":"guest.a"}`, admin)
	w.limited("registerConsumer", "topic_consumers", "/consumer/register", `{"topic":"guest.a"}`, admin)
	w.call("", "produce", "within the quota", "/producer/produce", fmt.Sprintf(produce, 0, "12345"), guest...)
	w.limited("produce", "topic_stored_bytes", "/producer/produce", fmt.Sprintf(produce, 1, "x"), guest)
	w.call("", "produce", "a repeat", "/producer/produce", fmt.Sprintf(produce, 0, "12345"), guest...)
	quota(`{"stored_bytes":0,"bytes_per_second":1}`)
	w.call("", "produce", "a large one", "/producer/produce", fmt.Sprintf(produce, 1, fmt.Sprintf("%060d", 0)), guest...)
	w.limited("produce", "topic_bytes_per_second", "/producer/produce", fmt.Sprintf(produce, 2, "x"), guest)
	quota(`{"bytes_per_second":0}`)

	slow := w.limitedToken(admin, `{"bytes_per_second":1}`)
	read := "/topics/guest.a/messages?offset=0"
	w.call("", "readMessages", "what is owed for later", read, "", slow...)
	w.limited("readMessages", "token_bytes_per_second", read, "", slow)
	w.limited("produce", "token_bytes_per_second", "/producer/produce", fmt.Sprintf(produce, 2, "x"), slow)
	w.limited("consume", "token_bytes_per_second", fmt.Sprintf("/consumer/consume?topic=guest.a&consumer_id=%d", consumer), "", slow)
	w.limited("consumePost", "token_bytes_per_second", "/consumer/consume", fmt.Sprintf(`{"topic":"guest.a","consumer_id":%d}`, consumer), slow)
	w.call("", "describeTopic", "what costs no messages", "/topics/guest.a", "", slow...)
	w.call("", "consumePost", "another token", "/consumer/consume", fmt.Sprintf(`{"topic":"guest.a","consumer_id":%d}`, consumer), guest...)
}

// TestQuotasAreShown: what was set is told to whoever may see it, and changed by nobody else.
func TestQuotasAreShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, apitest.HTTP(api.Config{Authenticate: true}))
	admin := w.token("admin")
	guest := w.limitedToken(admin, `{"topic_stored_bytes":7,"bytes_per_second":9007199254740991}`)
	w.call("forbidden", "createTopic", "a quota of one's own", "/topics", `{"name":"guest.a","quota":{"producers":1}}`, guest...)
	w.call("", "createTopic", "a topic", "/topics", `{"name":"guest.a"}`, guest...)
	w.call("forbidden", "updateTopic", "by a guest", "/topics/guest.a", `{"quota":{"stored_bytes":0}}`, guest...)
	shown := func(want string) {
		t.Helper()
		r := w.send(http.MethodGet, "/topics/guest.a", "", guest...)
		if got := fmt.Sprint(r.values["quota"]); got != want {
			t.Errorf("the quota is %s, want %s", got, want)
		}
	}
	shown("map[stored_bytes:7]")
	r := w.call("", "updateTopic", "both", "/topics/guest.a", `{"quota":{"producers":3,"consumers":4,"stored_bytes":0},"retention":{"max_messages":5}}`, admin...)
	if got := fmt.Sprint(r.values["quota"], r.values["retention"]); got != "map[consumers:4 producers:3] map[max_messages:5]" {
		t.Errorf("answered %s", got)
	}
	shown("map[consumers:4 producers:3]")
	for _, body := range []string{`{}`, `{"quota":{}}`, `{"quota":{"topics":1}}`, `{"quota":{"producers":-1}}`, `{"quota":{"stored_bytes":9007199254740992}}`} {
		w.call("invalid_request", "updateTopic", "what cannot be", "/topics/guest.a", body, admin...)
	}
	w.call("invalid_request", "createToken", "what cannot be", "/tokens", `{"name":"x","scopes":["admin"],"quota":{"topics":-1}}`, admin...)
	w.call("invalid_request", "createToken", "an unknown one", "/tokens", `{"name":"x","scopes":["admin"],"quota":{"stored_bytes":1}}`, admin...)
	var told []string
	tokens, _ := w.send(http.MethodGet, "/tokens", "", admin...).values["tokens"].([]any)
	for _, token := range tokens {
		if entry, ok := token.(map[string]any); ok && entry["quota"] != nil {
			told = append(told, fmt.Sprint(entry["quota"]))
		}
	}
	if fmt.Sprint(told) != "[map[bytes_per_second:9.007199254740991e+15 topic_stored_bytes:7]]" {
		t.Errorf("the list of tokens shows %s", told)
	}
}
