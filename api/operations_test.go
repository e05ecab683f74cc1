package api_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/service"
)

// TestOperations calls every operation happily and with every code that the document has for it,
// and compares what was said with testdata.
func TestOperations(t *testing.T) {
	t.Parallel()
	c := nothing()
	t.Cleanup(func() { c.complete(t) }) // after the sub-tests
	for name, scenario := range map[string]func(*world){
		"topics": topicsScenario, "producers": producersScenario, "produce": produceScenario,
		"consumers": consumersScenario, "consume": consumeScenario, "messages": messagesScenario,
		"broker": brokerScenario, "stream": streamScenario, "tokens": tokensScenario,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c, service.Limits{MessageBytes: 64}, apitest.HTTP(api.Config{Version: "1.0.0", Connections: 100}))
			scenario(w)
			w.golden(name)
		})
	}
	t.Run("refusals", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, c, service.Limits{RequestBytes: 4096})
		for _, id := range slices.Sorted(maps.Keys(documented())) {
			w.refusals(id)
		}
	})
	t.Run("access", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, c, service.Limits{}, apitest.HTTP(api.Config{Authenticate: true}))
		w.accessRefusals()
		newWorld(t, c, service.Limits{}, apitest.HTTP(api.Config{Authenticate: true})).tokensUnread()
	})
	t.Run("quotas", func(t *testing.T) {
		t.Parallel()
		newWorld(t, c, service.Limits{}, apitest.HTTP(api.Config{Authenticate: true})).quotaRefusals()
		newWorld(t, c, service.Limits{}, apitest.HTTP(api.Config{Authenticate: true})).strangersRefused()
	})
	t.Run("timeouts", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, c, service.Limits{}, apitest.HTTP(api.Config{BodyTimeout: 200 * time.Millisecond}))
		for id, o := range documented() {
			if o.RequestBody != nil {
				w.timesOut(id, o.method, strings.ReplaceAll(o.path, "{topic}", "orders"))
			}
		}
	})
}

// complete fails the test where a code that the document has for an operation was never seen.
func (c *coverage) complete(t *testing.T) {
	t.Helper()
	for id, o := range documented() {
		if !c.seen[id][""] {
			t.Errorf("%s was never called with success", id)
		}
		for code := range o.codes() {
			if !c.seen[id][code] && !unreachable(id, code) {
				t.Errorf("%s was never made to answer %s", id, code)
			}
		}
	}
}

// unreachable are the codes that cannot be had yet, or not from outside.
func unreachable(operation, code string) bool {
	switch code {
	case "internal":
		// These ask no store that could fail: only a fault in the handler is left.
		return slices.Contains([]string{"health", "ready", "info", "documentYAML", "documentJSON", "docs", "metrics"}, operation)
	case "overloaded":
		return slices.Contains([]string{"ready", "info", "metrics"}, operation) // nothing of it waits in a queue
	}
	return false
}

// refusals calls an operation in each way that is refused before it is looked at closely.
func (w *world) refusals(id string) {
	w.tb.Helper()
	target, body := w.operations[id].sample(w.tb)
	w.call("host_not_allowed", id, "", target, body, "Host", "evil.test")
	separator := "?"
	if strings.Contains(target, "?") {
		separator = "&"
	}
	w.call("invalid_request", id, "", target+separator+"nonsense=1", body)
	codes := w.operations[id].codes()
	if codes["cross_origin"] != 0 {
		w.call("cross_origin", id, "", target, body, "Origin", "http://evil.test")
		w.call("cross_origin", id, "", target, body, "Sec-Fetch-Site", "cross-site")
	}
	if body == "" {
		return
	}
	w.call("unsupported_media_type", id, "", target, body, "Content-Type", "text/plain")
	w.call("request_too_large", id, "", target, strings.Repeat(" ", 5000))
}

// timesOut sends a body that never comes.
func (w *world) timesOut(id, method, path string) {
	w.tb.Helper()
	a := w.raw(method + " " + path + " HTTP/1.1\r\nHost: %HOST%\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	if a.status != http.StatusRequestTimeout || !strings.Contains(a.text, `"code":"request_timeout"`) || !a.closed {
		w.tb.Errorf("%s with a body that never comes answers %d %s", id, a.status, a.text)
	}
	w.coverage.note(id, "request_timeout")
}

func topicsScenario(w *world) {
	w.call("", "createTopic", "a new topic", "/topics", `{"name":"orders"}`)
	w.call("topic_exists", "createTopic", "the name is taken", "/topics", `{"name":"orders"}`)
	w.call("", "createTopic", "another letter case is another name", "/topics", `{"name":"ORDERS"}`)
	w.call("invalid_request", "createTopic", "a bad name", "/topics", `{"name":"a/b"}`)
	w.call("invalid_request", "createTopic", "no name", "/topics", `{}`)
	w.faults("createTopic", "/topics", `{"name":"more"}`)
	w.call("", "listTopics", "all", "/topics", "")
	w.call("", "listTopics", "a page", "/topics?limit=2", "")
	w.call("", "listTopics", "the next page", "/topics?limit=2&after=orders", "")
	w.call("", "listTopics", "a prefix", "/topics?prefix=or", "")
	w.call("", "listTopics", "none", "/topics?prefix=zzz", "")
	w.call("invalid_request", "listTopics", "a limit of 0", "/topics?limit=0", "")
	w.faults("listTopics", "/topics", "")
	w.call("", "describeTopic", "empty", "/topics/orders", "")
	w.call("", "describeTopic", "trimmed", "/topics/trimmed", "")
	w.call("topic_not_found", "describeTopic", "unknown", "/topics/nope", "")
	w.faults("describeTopic", "/topics/orders", "")
	w.call("", "createTopic", "one that does not keep everything", "/topics", `{"name":"short","retention":{"max_age_seconds":604800,"keep_for":["b","a"]}}`)
	w.call("", "describeTopic", "what it keeps", "/topics/short", "")
	w.call("", "updateTopic", "what is not said stays", "/topics/short", `{"retention":{"max_bytes":1073741824,"max_messages":9007199254740991}}`)
	w.call("", "updateTopic", "no limits any more", "/topics/short", `{"retention":{"max_age_seconds":0,"max_bytes":0,"max_messages":0,"keep_for":[]}}`)
	w.call("invalid_request", "updateTopic", "nothing said", "/topics/short", `{}`)
	w.call("invalid_request", "updateTopic", "nothing to change", "/topics/short", `{"retention":{}}`)
	w.call("invalid_request", "updateTopic", "too old", "/topics/short", `{"retention":{"max_age_seconds":3155760001}}`)
	w.call("invalid_request", "updateTopic", "a bad name", "/topics/short", `{"retention":{"keep_for":["a/b"]}}`)
	w.call("invalid_request", "updateTopic", "an unknown limit", "/topics/short", `{"retention":{"max_days":1}}`)
	w.call("invalid_request", "createTopic", "a limit that is none", "/topics", `{"name":"new","retention":{"max_bytes":-1}}`)
	w.call("topic_not_found", "updateTopic", "unknown", "/topics/nope", `{"retention":{"max_bytes":1}}`)
	w.call("", "createTopic", "one with quotas", "/topics", `{"name":"small","quota":{"stored_bytes":1048576,"producers":3}}`)
	w.call("", "updateTopic", "another quota", "/topics/small", `{"quota":{"bytes_per_second":65536,"producers":0}}`)
	w.call("invalid_request", "updateTopic", "no quota said", "/topics/small", `{"quota":{}}`)
	w.call("invalid_request", "updateTopic", "an unknown quota", "/topics/small", `{"quota":{"topics":1}}`)
	w.faults("updateTopic", "/topics/short", `{"retention":{"max_bytes":1}}`)
	w.faults("deleteTopic", "/topics/orders", "")
	w.call("", "deleteTopic", "gone", "/topics/orders", "")
	w.call("topic_not_found", "deleteTopic", "unknown", "/topics/orders", "")
}

func producersScenario(w *world) {
	w.call("", "registerProducer", "anonymous; the topic is made", "/producer/register", `{"topic":"orders"}`)
	named := w.call("", "registerProducer", "named", "/producer/register", `{"topic":"orders","prod_name":"shop","instance":"one"}`)
	w.call("", "registerProducer", "the same instance", "/producer/register", `{"topic":"orders","prod_name":"shop","instance":"one"}`)
	w.call("", "registerProducer", "a later session", "/producer/register", `{"topic":"orders","prod_name":"shop","instance":"two"}`)
	w.call("producer_fenced", "registerProducer", "a late copy", "/producer/register", `{"topic":"orders","prod_name":"shop","instance":"one"}`)
	w.call("invalid_request", "registerProducer", "an instance of nobody", "/producer/register", `{"topic":"orders","instance":"one"}`)
	w.faults("registerProducer", "/producer/register", `{"topic":"orders"}`)
	w.call("", "describeProducer", "nothing stored", "/producer/state?topic=orders&prod_name=shop", "")
	w.call("", "registerProducer", "with messages stored", "/producer/register", `{"topic":"trimmed","prod_name":"trimmed"}`)
	w.call("producer_not_found", "describeProducer", "unknown name", "/producer/state?topic=orders&prod_name=nope", "")
	w.call("topic_not_found", "describeProducer", "unknown topic", "/producer/state?topic=nope&prod_name=shop", "")
	w.call("invalid_request", "describeProducer", "no name", "/producer/state?topic=orders", "")
	w.faults("describeProducer", "/producer/state?topic=orders&prod_name=shop", "")
	w.call("", "listProducers", "all", "/topics/orders/producers", "")
	page := w.call("", "listProducers", "a page", "/topics/orders/producers?limit=1", "")
	w.call("", "listProducers", "the next page", fmt.Sprintf("/topics/orders/producers?limit=1&after=%d", page.id("next")), "")
	w.call("topic_not_found", "listProducers", "unknown topic", "/topics/nope/producers", "")
	w.faults("listProducers", "/topics/orders/producers", "")
	w.call("", "countProduced", "in all topics", "/producer/client_size?prod_name=trimmed", "")
	w.call("", "countProduced", "in one topic", "/producer/client_size?prod_name=trimmed&topic=orders", "")
	w.call("", "countProduced", "unknown name", "/producer/client_size?prod_name=nope", "")
	w.call("topic_not_found", "countProduced", "unknown topic", "/producer/client_size?prod_name=trimmed&topic=nope", "")
	w.faults("countProduced", "/producer/client_size?prod_name=trimmed", "")
	unregister := fmt.Sprintf(`{"topic":"orders","producer_id":%d}`, named.id("producer_id"))
	w.faults("unregisterProducer", "/producer/unregister", unregister)
	w.call("", "unregisterProducer", "named: the session ends", "/producer/unregister", unregister)
	w.call("producer_not_found", "unregisterProducer", "unknown id", "/producer/unregister", `{"topic":"orders","producer_id":1}`)
	w.call("topic_not_found", "unregisterProducer", "unknown topic", "/producer/unregister", `{"topic":"nope","producer_id":1}`)
	w.call("invalid_request", "unregisterProducer", "no id", "/producer/unregister", `{"topic":"orders"}`)
}

func produceScenario(w *world) {
	id := w.send(http.MethodPost, "/producer/register", `{"topic":"orders"}`).id("producer_id")
	shop := w.send(http.MethodPost, "/producer/register", `{"topic":"orders","prod_name":"shop"}`)
	produce := func(code, title, format string, args ...any) {
		w.tb.Helper()
		w.call(code, "produce", title, "/producer/produce", `{"topic":"orders",`+fmt.Sprintf(format, args...)+`}`)
	}
	name := shop.id("producer_id")
	produce("", "text", `"producer_id":%d,"message":"Hello"`, id)
	produce("", "empty text", `"producer_id":%d,"message":""`, id)
	produce("", "bytes", `"producer_id":%d,"message_base64":"AAEC"`, id)
	produce("", "a free name", `"producer_id":%d,"message":"x","prod_name":"free"`, id)
	produce("", "several", `"producer_id":%d,"messages":[{"message":"a","headers":{"k":"v"}},{"message_base64":""}]`, id)
	produce("", "with seq", `"producer_id":%d,"epoch":1,"seq":0,"messages":[{"message":"s0"},{"message":"s1"}]`, name)
	produce("", "a duplicate", `"producer_id":%d,"epoch":1,"seq":0,"messages":[{"message":"s0"},{"message":"s1"}]`, name)
	produce("", "without seq in between", `"producer_id":%d,"message":"x"`, id)
	produce("", "an overlap", `"producer_id":%d,"epoch":1,"seq":1,"messages":[{"message":"s1"},{"message":"s2"}]`, name)
	produce("seq_reused", "other bytes", `"producer_id":%d,"epoch":1,"seq":1,"message":"other"`, name)
	produce("seq_gap", "a gap", `"producer_id":%d,"epoch":1,"seq":4,"message":"s4"`, name)
	produce("producer_fenced", "an old epoch", `"producer_id":%d,"epoch":0,"seq":3,"message":"s3"`, name)
	produce("unknown_epoch", "an epoch to come", `"producer_id":%d,"epoch":2147483648,"seq":3,"message":"s3"`, name)
	produce("append_conflict", "somebody was faster", `"producer_id":%d,"expected_offset":0,"message":"x"`, id)
	produce("", "expected", `"producer_id":%d,"expected_offset":%d,"message":"x"`, id, 10)
	produce("incarnation_changed", "another history", `"producer_id":%d,"incarnation":"old","message":"x"`, id)
	produce("producer_not_found", "unknown id", `"producer_id":1,"message":"x"`)
	produce("producer_not_found", "an unregistered name with seq", `"producer_id":%d,"prod_name":"nope","seq":0,"message":"x"`, id)
	w.call("topic_not_found", "produce", "unknown topic", "/producer/produce", `{"topic":"nope","producer_id":1,"message":"x"}`)
	produce("invalid_request", "no message", `"producer_id":%d`, id)
	produce("invalid_request", "two messages", `"producer_id":%d,"message":"x","message_base64":"AAEC"`, id)
	produce("invalid_request", "a message and messages", `"producer_id":%d,"message":"x","messages":[{"message":"x"}]`, id)
	produce("invalid_request", "headers of nothing", `"producer_id":%d,"headers":{},"messages":[{"message":"x"}]`, id)
	produce("invalid_request", "no messages", `"producer_id":%d,"messages":[]`, id)
	produce("invalid_request", "seq without a name", `"producer_id":%d,"seq":0,"message":"x"`, id)
	produce("invalid_request", "another name", `"producer_id":%d,"prod_name":"other","message":"x"`, name)
	produce("message_too_large", "65 bytes of 64", `"producer_id":%d,"message":"%065d"`, id, 0)
	w.call("", "produce", "a duplicate that is trimmed", "/producer/produce", fmt.Sprintf(
		`{"topic":"trimmed","producer_id":%d,"seq":0,"message":"message 0"}`, w.trimmedProducer))
	w.faults("produce", "/producer/produce", fmt.Sprintf(`{"topic":"orders","producer_id":%d,"message":"x"}`, id))
}
