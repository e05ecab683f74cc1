package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// fill makes a topic with three messages and returns the id of a consumer of it.
func (w *world) fill(topic string) int64 {
	w.tb.Helper()
	producer := w.send(http.MethodPost, "/producer/register", fmt.Sprintf(`{"topic":%q,"prod_name":"shop"}`, topic))
	body := `{"topic":%q,"producer_id":%d,"seq":0,"messages":[{"message":"zero","headers":{"k":"v"}},{"message_base64":"AAEC"},{"message":""}]}`
	w.send(http.MethodPost, "/producer/produce", fmt.Sprintf(body, topic, producer.id("producer_id")))
	return w.send(http.MethodPost, "/consumer/register", fmt.Sprintf(`{"topic":%q}`, topic)).id("consumer_id")
}

func consumersScenario(w *world) {
	id := w.fill("orders")
	register := func(code, title, body string) { w.call(code, "registerConsumer", title, "/consumer/register", body) }
	register("", "from the beginning", `{"topic":"orders"}`)
	register("", "named, from the end", `{"topic":"orders","cons_name":"billing","from":"end"}`)
	register("", "the name again", `{"topic":"orders","cons_name":"billing"}`)
	register("", "from an offset", `{"topic":"orders","from":"2"}`)
	register("", "the beginning of a trimmed topic", `{"topic":"trimmed"}`)
	register("offset_out_of_range", "above the end", `{"topic":"orders","from":"4"}`)
	register("offset_trimmed", "below the first", `{"topic":"trimmed","from":"2"}`)
	register("topic_not_found", "unknown topic", `{"topic":"nope"}`)
	register("invalid_request", "from nowhere", `{"topic":"orders","from":"middle"}`)
	register("invalid_request", "an empty name", `{"topic":"orders","cons_name":""}`)
	w.faults("registerConsumer", "/consumer/register", `{"topic":"orders"}`)

	size := func(topic string, id int64) string { return fmt.Sprintf("/size?topic=%s&consumer_id=%d", topic, id) }
	w.call("", "countUnread", "three", size("orders", id), "")
	w.call("", "countUnread", "what is trimmed does not count", size("trimmed", int64(w.trimmedConsumer)), "")
	w.call("consumer_not_found", "countUnread", "of another topic", size("trimmed", id), "")
	w.call("topic_not_found", "countUnread", "unknown topic", size("nope", id), "")
	w.faults("countUnread", size("orders", id), "")

	set := func(code, title, format string, args ...any) {
		w.tb.Helper()
		w.call(code, "setOffset", title, "/consumer/set_offset", fmt.Sprintf(format, args...))
	}
	set("", "forward", `{"consumer_id":%d,"offset":2}`, id)
	set("", "back", `{"topic":"orders","consumer_id":%d,"offset":1}`, id)
	set("", "to the beginning", `{"consumer_id":%d,"offset":-1}`, id)
	set("", "to a time before all", `{"consumer_id":%d,"time":"2026-01-01T00:00:00Z"}`, id)
	set("", "to a time after all", `{"consumer_id":%d,"time":"2027-01-01T01:00:00+01:00"}`, id)
	set("offset_out_of_range", "above the end", `{"consumer_id":%d,"offset":4}`, id)
	set("offset_trimmed", "below the first", `{"consumer_id":%d,"offset":2}`, w.trimmedConsumer)
	set("consumer_not_found", "unknown id", `{"consumer_id":1,"offset":0}`)
	set("consumer_not_found", "of another topic", `{"topic":"trimmed","consumer_id":%d,"offset":3}`, id)
	set("topic_not_found", "unknown topic", `{"topic":"nope","consumer_id":%d,"offset":0}`, id)
	set("invalid_request", "nowhere", `{"consumer_id":%d}`, id)
	set("invalid_request", "to two places", `{"consumer_id":%d,"offset":0,"time":"2026-01-01T00:00:00Z"}`, id)
	set("invalid_request", "to a day", `{"consumer_id":%d,"time":"2026-01-01"}`, id)
	w.faults("setOffset", "/consumer/set_offset", fmt.Sprintf(`{"consumer_id":%d,"offset":0}`, id))

	w.call("", "describeConsumer", "by id", fmt.Sprintf("/consumer/state?topic=orders&consumer_id=%d", id), "")
	w.call("", "describeConsumer", "by name", "/consumer/state?topic=orders&cons_name=billing", "")
	w.call("consumer_not_found", "describeConsumer", "unknown name", "/consumer/state?topic=orders&cons_name=nope", "")
	w.call("topic_not_found", "describeConsumer", "unknown topic", "/consumer/state?topic=nope&cons_name=billing", "")
	w.call("invalid_request", "describeConsumer", "neither", "/consumer/state?topic=orders", "")
	w.call("invalid_request", "describeConsumer", "both", "/consumer/state?topic=orders&consumer_id=0&cons_name=billing", "")
	w.faults("describeConsumer", "/consumer/state?topic=orders&cons_name=billing", "")

	w.call("", "listConsumers", "all", "/topics/orders/consumers", "")
	page := w.call("", "listConsumers", "a page", "/topics/orders/consumers?limit=3", "")
	w.call("", "listConsumers", "the next page", fmt.Sprintf("/topics/orders/consumers?after=%d", page.id("next")), "")
	w.call("topic_not_found", "listConsumers", "unknown topic", "/topics/nope/consumers", "")
	w.faults("listConsumers", "/topics/orders/consumers", "")

	unregister := fmt.Sprintf(`{"topic":"orders","consumer_id":%d}`, id)
	w.faults("unregisterConsumer", "/consumer/unregister", unregister)
	w.call("", "unregisterConsumer", "gone", "/consumer/unregister", unregister)
	w.call("consumer_not_found", "unregisterConsumer", "unknown id", "/consumer/unregister", unregister)
	w.call("topic_not_found", "unregisterConsumer", "unknown topic", "/consumer/unregister", `{"topic":"nope","consumer_id":1}`)
	w.call("invalid_request", "unregisterConsumer", "no id", "/consumer/unregister", `{"topic":"orders"}`)
}

// consumeCall writes a consume by GET or by POST; members are names and values.
func consumeCall(operation string, id int64, topic string, members ...any) (target, body string) {
	members = append([]any{"topic", topic, "consumer_id", id}, members...)
	var query, object []string
	for i := 0; i < len(members); i += 2 {
		query = append(query, fmt.Sprintf("%v=%v", members[i], members[i+1]))
		format := `%q:%v`
		if _, isText := members[i+1].(string); isText {
			format = `%q:%q`
		}
		object = append(object, fmt.Sprintf(format, members[i], members[i+1]))
	}
	if operation == "consume" {
		return "/consumer/consume?" + strings.Join(query, "&"), ""
	}
	return "/consumer/consume", "{" + strings.Join(object, ",") + "}"
}

// consumeScenario says everything twice, by GET and by POST.
func consumeScenario(w *world) {
	for _, operation := range []string{"consume", "consumePost"} {
		topic := "by-" + operation
		id := w.fill(topic)
		consume := func(code, title string, id int64, topic string, members ...any) {
			w.tb.Helper()
			target, body := consumeCall(operation, id, topic, members...)
			w.call(code, operation, title, target, body)
		}
		consume("", "with an offset: a repeat answers the same", id, topic, "offset", 0, "limit", 2)
		consume("", "with an offset: a repeat answers the same", id, topic, "offset", 0, "limit", 2)
		target, body := consumeCall(operation, id, topic)
		w.faults(operation, target, body)
		consume("", "plain: text with headers", id, topic)
		consume("", "plain: bytes", id, topic)
		consume("", "plain: empty text", id, topic)
		consume("no_message", "plain: at the end", id, topic)
		consume("", "with parameters: at the end", id, topic, "limit", 10, "wait", 0)
		consume("", "with an offset: at the end", id, topic, "offset", 3)
		consume("offset_behind", "may not go back", id, topic, "offset", 1)
		consume("offset_out_of_range", "above the end", id, topic, "offset", 4)
		consume("offset_trimmed", "plain: the position is gone", int64(w.trimmedConsumer), "trimmed")
		consume("offset_trimmed", "with an offset that is gone", int64(w.trimmedConsumer), "trimmed", "offset", 2)
		consume("incarnation_changed", "another history", id, topic, "incarnation", "old")
		consume("consumer_not_found", "unknown id", 1, topic)
		consume("consumer_not_found", "of another topic", id, "trimmed")
		consume("topic_not_found", "unknown topic", id, "nope")
		consume("invalid_request", "no limit at all", id, topic, "limit", 0)
		consume("invalid_request", "too much", id, topic, "limit", 10001)
		consume("invalid_request", "too many bytes", id, topic, "max_bytes", 8<<20+1)
		consume("invalid_request", "too long", id, topic, "wait", 61)
		consume("invalid_request", "for ever", id, topic, "wait", 1<<53-1)
		consume("invalid_request", "a negative offset", id, topic, "offset", -1)
		consume("invalid_request", "no history", id, topic, "incarnation", "")
	}
}

func messagesScenario(w *world) {
	w.fill("orders")
	read := func(code, title, target string) { w.call(code, "readMessages", title, "/topics/"+target, "") }
	read("", "from an offset", "orders/messages?offset=0")
	read("", "a page", "orders/messages?offset=0&limit=1")
	read("", "at least one", "orders/messages?offset=1&max_bytes=1")
	read("", "from a time", "orders/messages?time=2026-03-01T09:30:00Z")
	read("", "after all times", "orders/messages?time=2027-03-01T09:30:00%2B01:00")
	read("", "at the end", "orders/messages?offset=3")
	read("", "of a trimmed topic", "trimmed/messages?offset=3")
	read("offset_out_of_range", "above the end", "orders/messages?offset=4")
	read("offset_trimmed", "below the first", "trimmed/messages?offset=2")
	read("incarnation_changed", "another history", "orders/messages?offset=0&incarnation=old")
	read("topic_not_found", "unknown topic", "nope/messages?offset=0")
	read("invalid_request", "from nowhere", "orders/messages")
	read("invalid_request", "from two places", "orders/messages?offset=0&time=2026-03-01T09:30:00Z")
	read("invalid_request", "a sign that means a space", "orders/messages?time=2026-03-01T09:30:00+01:00")
	w.faults("readMessages", "/topics/orders/messages?time=2026-03-01T09:30:00Z", "")
}

func brokerScenario(w *world) {
	w.call("", "health", "up", "/healthz", "")
	w.call("", "ready", "ready", "/readyz", "")
	fault := errors.New("the disk is on fire")
	w.fault.Store(&fault)
	w.call("unavailable", "ready", "the store fails", "/readyz", "")
	w.fault.Store(nil)
	w.call("", "info", "facts", "/info", "")
	// Too long for a transcript.
	said := w.transcript.String()
	w.call("", "documentYAML", "", "/openapi.yaml", "")
	w.call("", "documentJSON", "", "/openapi.json", "")
	w.call("", "docs", "", "/docs", "")
	w.call("", "metrics", "", "/metrics", "")
	w.transcript.Reset()
	w.transcript.WriteString(said)
	for _, target := range []string{"/", "/nope", "/topics/", "/topics//messages", "/topics/orders/nope", "/docs/nope.js", "/docs/../topics"} {
		r := w.send(http.MethodGet, target, "")
		w.write(http.MethodGet, "no such address", target, "", r)
	}
	for _, method := range []string{http.MethodPut, http.MethodHead, http.MethodOptions, http.MethodTrace, "get"} {
		r := w.send(method, "/topics", "")
		w.write(method, "no such method", "/topics", "", r)
	}
}
