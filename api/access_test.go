package api_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/db/memory"
	"github.com/topiq/topiq/service"
)

// guarded is a world whose broker asks for tokens.
func guarded(t *testing.T, options ...apitest.Option) *world {
	t.Helper()
	return newWorld(t, nothing(), service.Limits{}, append([]apitest.Option{apitest.HTTP(api.Config{Authenticate: true})}, options...)...)
}

// token makes a token and returns the header that has it.
func (w *world) token(scopes ...service.Scope) []string {
	w.tb.Helper()
	_, text, err := w.Broker.CreateToken(w.tb.Context(), service.NewToken{Name: "test", Scopes: scopes})
	if err != nil {
		w.tb.Fatal(err)
	}
	return []string{"Authorization", "Bearer " + text}
}

// TestEveryRouteHasARule: the table of rules has each operation, and says what the document says.
func TestEveryRouteHasARule(t *testing.T) {
	t.Parallel()
	rules := api.Rules()
	for id, o := range documented() {
		scope, ok := rules[id]
		if !ok {
			t.Errorf("%s has no rule: say in access.go what a token must allow for it", id)
			continue
		}
		delete(rules, id)
		if said, _ := o.Extensions["x-required-scope"].(string); said != scope {
			t.Errorf("%s: the rule is %q, the document says %q", id, scope, said)
		}
		if o.Security == nil {
			t.Errorf("%s does not say whether it needs a token", id)
		} else if asks := len(*o.Security) > 0; asks != (scope != "") {
			t.Errorf("%s: the document asks for a token: %t, the rule is %q", id, asks, scope)
		}
		codes := o.codes()
		if (codes["unauthorized"] != 0) != (scope != "") || (codes["forbidden"] != 0) != (scope != "" && scope != "any") {
			t.Errorf("%s: the rule is %q, the codes are %v", id, scope, codes)
		}
		if codes["cross_origin"] == 0 {
			t.Errorf("%s has no cross_origin", id)
		}
	}
	for id := range rules {
		t.Errorf("there is a rule for %s, which does not exist", id)
	}
}

// allowedFor says, independently of the rules, which of the scopes of TestScopes let a request in
// that is about the topic "orders". A route that is not here fails the test.
func allowedFor() map[string][]service.Scope {
	produce := []service.Scope{"produce:orders", "produce:ord*", "produce:*", "admin"}
	consume := []service.Scope{"consume:orders", "consume:ord*", "consume:*", "admin"}
	either := slices.Concat(produce, consume)
	only := []service.Scope{"admin"}
	return map[string][]service.Scope{
		"info": everyScope(), "metrics": everyScope(), "listTopics": everyScope(),
		"createTopic": produce, "describeTopic": either, "updateTopic": only, "deleteTopic": only,
		"readMessages": consume, "streamMessages": consume, "listConsumers": consume, "listProducers": produce,
		"registerProducer": produce, "produce": produce, "unregisterProducer": produce, "describeProducer": produce,
		"countProduced":    {"produce:*", "admin"}, // its sample has no topic
		"registerConsumer": consume, "consume": consume, "consumePost": consume, "countUnread": consume,
		"describeConsumer": consume, "unregisterConsumer": consume, "setOffset": consume,
		"createToken": only, "listTokens": only, "revokeToken": only,
	}
}

// everyScope are those of TestScopes.
func everyScope() []service.Scope {
	return []service.Scope{
		"produce:orders", "produce:ord*", "produce:*", "produce:order", "produce:other*", "produce:orders.*",
		"consume:orders", "consume:ord*", "consume:*", "consume:order", "consume:other*", "consume:orders.*", "admin",
	}
}

// TestScopes sends a sample of every route with a token of every scope (row 92), to a broker that has
// the topic it is about and to one that has not: who is refused learns nothing of the difference.
func TestScopes(t *testing.T) {
	t.Parallel()
	with, without := guarded(t), guarded(t)
	all := with.token("admin")
	with.fillAs("orders", all)
	public := []string{"health", "ready", "documentYAML", "documentJSON", "docs"}
	for _, id := range slices.Sorted(maps.Keys(documented())) {
		o := documented()[id]
		target, body := o.sample(t)
		if id == "readMessages" {
			target += "?offset=0"
		}
		if id == "describeConsumer" {
			target += "&consumer_id=1260"
		}
		allowed, known := allowedFor()[id]
		if !known && !slices.Contains(public, id) {
			t.Errorf("%s: nobody has said which scopes it needs", id)
		}
		for _, scope := range append(everyScope(), "") {
			var answers [2]result
			for i, w := range []*world{without, with} {
				var header []string
				if scope != "" {
					header = w.token(scope)
				}
				if id == "deleteTopic" && scope == "admin" && w == with {
					continue // the others need the topic
				}
				answers[i] = w.send(o.method, target, body, header...)
				if w == without {
					_ = w.Broker.DeleteTopic(t.Context(), "orders") // it may have been made
				}
			}
			got := answers[0]
			switch {
			case slices.Contains(public, id):
				if got.status != http.StatusOK {
					t.Errorf("%s with %q: %d %s", id, scope, got.status, got.text)
				}
			case scope == "":
				if got.status != http.StatusUnauthorized || got.code() != "unauthorized" || got.header.Get("WWW-Authenticate") != `Bearer realm="topiq"` {
					t.Errorf("%s without a token: %d %s %v", id, got.status, got.text, got.header)
				}
			case slices.Contains(allowed, scope):
				if got.status == http.StatusUnauthorized || got.status == http.StatusForbidden || got.status >= http.StatusInternalServerError {
					t.Errorf("%s with %q: %d %s", id, scope, got.status, got.text)
				}
				continue
			default:
				required, _ := got.values["required"].(string)
				if got.status != http.StatusForbidden || got.code() != "forbidden" || !slices.Contains(allowed, service.Scope(required)) {
					t.Errorf("%s with %q: %d %s, want forbidden with one of %v", id, scope, got.status, got.text, allowed)
				}
			}
			if !slices.Contains(public, id) && answers[0].text != answers[1].text {
				t.Errorf("%s with %q tells whether the topic exists: %s, %s", id, scope, answers[0].text, answers[1].text)
			}
		}
	}
}

// fillAs registers a producer and a consumer, and stores a message.
func (w *world) fillAs(topic string, header []string) (producer, consumer int64) {
	w.tb.Helper()
	producer = w.send(http.MethodPost, "/producer/register", `{"topic":"`+topic+`"}`, header...).id("producer_id")
	consumer = w.send(http.MethodPost, "/consumer/register", `{"topic":"`+topic+`"}`, header...).id("consumer_id")
	r := w.send(http.MethodPost, "/producer/produce", fmt.Sprintf(`{"topic":%q,"producer_id":%d,"message":"x"}`, topic, producer), header...)
	if r.status != http.StatusOK || consumer == 0 {
		w.tb.Fatalf("fill %s: %s", topic, r.text)
	}
	return producer, consumer
}

// TestIDsOfOthers: an id alone leads to nothing that the token may not see, and to no other answer
// than one that was never given out.
func TestIDsOfOthers(t *testing.T) {
	t.Parallel()
	w := guarded(t)
	all := w.token("admin")
	producer, foreign := w.fillAs("orders", all)
	_, own := w.fillAs("mine", all)
	mine := w.token("consume:mine", "produce:mine")
	seek := func(id int64, header []string) result {
		return w.send(http.MethodPost, "/consumer/set_offset", fmt.Sprintf(`{"consumer_id":%d,"offset":1}`, id), header...)
	}
	if r := seek(own, mine); r.status != http.StatusOK {
		t.Errorf("the own consumer: %s", r.text)
	}
	if r := seek(foreign, all); r.status != http.StatusOK {
		t.Errorf("a consumer by admin: %s", r.text)
	}
	others, unknown := seek(foreign, mine), seek(foreign+256*1000, mine)
	if others.code() != "consumer_not_found" || others.text != unknown.text || others.status != unknown.status {
		t.Errorf("a consumer of others: %s; one that does not exist: %s", others.text, unknown.text)
	}
	if r := seek(foreign, w.token("produce:*")); r.code() != "forbidden" || r.values["required"] != "consume:*" {
		t.Errorf("without a scope to consume: %s", r.text)
	}
	if r := seek(0, mine); r.code() != "invalid_request" {
		t.Errorf("no id: %s", r.text)
	}
	// With a topic that it may use, a foreign id is one that the topic does not have.
	for target, body := range map[string]string{
		"/producer/produce":    fmt.Sprintf(`{"topic":"mine","producer_id":%d,"message":"x"}`, producer),
		"/consumer/consume":    fmt.Sprintf(`{"topic":"mine","consumer_id":%d}`, foreign),
		"/consumer/set_offset": fmt.Sprintf(`{"topic":"mine","consumer_id":%d,"offset":0}`, foreign),
	} {
		if r := w.send(http.MethodPost, target, body, mine...); !strings.HasSuffix(r.code(), "r_not_found") {
			t.Errorf("%s %s: %s", target, body, r.text)
		}
	}
	if r := w.send(http.MethodGet, fmt.Sprintf("/size?topic=orders&consumer_id=%d", foreign), "", all...); r.id("size") != 0 {
		t.Errorf("the foreign consumer was moved, but not by admin: %s", r.text)
	}
	for target, want := range map[string]string{
		"/producer/client_size?prod_name=shop":              "forbidden",
		"/producer/client_size?prod_name=shop&topic=orders": "forbidden",
		"/producer/client_size?prod_name=shop&topic=mine":   "",
		"/producer/client_size?prod_name=shop&topic=a%2Fb":  "invalid_request",
	} {
		if r := w.send(http.MethodGet, target, "", mine...); r.code() != want {
			t.Errorf("%s: %s", target, r.text)
		}
	}
}

// TestRetentionNeedsAdmin: whoever may only produce does not decide what is let go of.
func TestRetentionNeedsAdmin(t *testing.T) {
	t.Parallel()
	w := guarded(t)
	const body = `{"name":"orders","retention":{"max_messages":1}}`
	r := w.send(http.MethodPost, "/topics", body, w.token("produce:*", "consume:*")...)
	if r.status != http.StatusForbidden || r.values["required"] != "admin" {
		t.Errorf("with produce:* and consume:*: %d %s", r.status, r.text)
	}
	if r := w.send(http.MethodPost, "/topics", body, w.token("admin")...); r.status != ok {
		t.Errorf("with admin: %d %s", r.status, r.text)
	}
}

// TestVisibleTopics: a list has what the token may do anything with, page by page.
func TestVisibleTopics(t *testing.T) {
	t.Parallel()
	w := guarded(t)
	all := w.token("admin")
	for _, name := range []string{"a", "a.1", "a.2", "a.3", "b", "b.1", "c"} {
		w.send(http.MethodPost, "/topics", `{"name":"`+name+`"}`, all...)
	}
	for _, c := range []struct {
		scopes []service.Scope
		query  string
		want   string
	}{
		{[]service.Scope{"admin"}, "", `"topics":["a","a.1","a.2","a.3","b","b.1","c","trimmed"]`},
		{[]service.Scope{"consume:*"}, "?prefix=a.", `"topics":["a.1","a.2","a.3"]`},
		{[]service.Scope{"produce:a.*", "consume:b"}, "", `"topics":["a.1","a.2","a.3","b"]`},
		{[]service.Scope{"produce:a.*", "consume:b"}, "?limit=2", `"next":"a.2","status":"success","topics":["a.1","a.2"]`},
		{[]service.Scope{"produce:a.*", "consume:b"}, "?limit=2&after=a.2", `"topics":["a.3","b"]`},
		{[]service.Scope{"produce:a.*", "consume:a.2", "consume:a*"}, "?after=a", `"topics":["a.1","a.2","a.3"]`},
		{[]service.Scope{"produce:a.2", "consume:a.2", "produce:none"}, "", `"topics":["a.2"]`},
		{[]service.Scope{"produce:b"}, "?prefix=b.", `"topics":[]`},
		{[]service.Scope{"produce:a"}, "", `"topics":["a"]`},
		{[]service.Scope{"produce:none*"}, "", `"topics":[]`},
	} {
		if r := w.send(http.MethodGet, "/topics"+c.query, "", w.token(c.scopes...)...); r.status != ok || !strings.Contains(r.text, c.want) {
			t.Errorf("%v %s: %s, want %s", c.scopes, c.query, r.text, c.want)
		}
	}
}

// accessRefusals calls every operation without a token, and with one that allows nothing of it.
func (w *world) accessRefusals() {
	other := w.token("produce:other")
	for id, o := range w.operations {
		target, body := o.sample(w.tb)
		codes := o.codes()
		if codes["unauthorized"] != 0 {
			w.call("unauthorized", id, "", target, body)
		}
		if codes["forbidden"] != 0 {
			if id == "readMessages" {
				target += "?offset=0"
			}
			w.call("forbidden", id, "", target, body, other...)
		}
	}
}

// tokensUnread calls what asks no store itself while the tokens cannot be read.
func (w *world) tokensUnread() {
	err := error(service.ErrUnavailable)
	w.fault.Store(&err)
	w.call("unavailable", "info", "", "/info", "", "Authorization", "Bearer "+madeUp)
	w.call("unavailable", "metrics", "", "/metrics", "", "Authorization", "Bearer "+madeUp)
	w.fault.Store(nil)
}

// madeUp is a token that passes for one until the tokens are looked at.
const madeUp = "tpq_AAAAAAAAAAAAAAAA_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAZAGFAVA"

func tokensScenario(w *world) {
	w.call("", "listTokens", "none", "/tokens", "")
	made := w.call("", "createToken", "for ever", "/tokens", `{"name":"shop","scopes":["produce:orders.*","consume:*"]}`)
	w.call("", "createToken", "for an hour", "/tokens", `{"name":"shop","scopes":["admin"],"expires_seconds":3600}`)
	w.call("invalid_request", "createToken", "no scope", "/tokens", `{"name":"shop","scopes":[]}`)
	w.call("invalid_request", "createToken", "a scope that is none", "/tokens", `{"name":"shop","scopes":["delete:orders"]}`)
	w.call("invalid_request", "createToken", "a pattern that is none", "/tokens", `{"name":"shop","scopes":["produce:or*ers"]}`)
	w.call("invalid_request", "createToken", "no time", "/tokens", `{"name":"shop","scopes":["admin"],"expires_seconds":0}`)
	w.faults("createToken", "/tokens", `{"name":"shop","scopes":["admin"]}`)
	id, _ := made.values["token_id"].(string)
	w.faults("revokeToken", "/tokens/"+id, "")
	w.call("", "revokeToken", "gone", "/tokens/"+id, "")
	w.call("", "revokeToken", "again", "/tokens/"+id, "")
	w.call("not_found", "revokeToken", "unknown", "/tokens/AAAAAAAAAAAAAAAA", "")
	w.call("", "listTokens", "all", "/tokens", "")
	page := w.call("", "listTokens", "a page", "/tokens?limit=1", "")
	w.call("", "listTokens", "the next page", fmt.Sprintf("/tokens?limit=1&after=%v", page.values["next"]), "")
	w.faults("listTokens", "/tokens", "")
}

// TestStreamsEndWithTheirTokens: a stream is open for as long as its token is valid, and ten seconds more
// at most, wherever the token was revoked.
func TestStreamsEndWithTheirTokens(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		life    time.Duration
		revoked time.Duration // 0: never
		closed  time.Duration
		code    string
		least   time.Duration
	}{
		"revoked":    {revoked: 31 * time.Second, closed: time.Hour, code: "unauthorized", least: 31 * time.Second},
		"expired":    {life: 20 * time.Second, closed: time.Hour, code: "unauthorized", least: 20 * time.Second},
		"a fine one": {closed: 60 * time.Second, code: "unavailable", least: 60 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := memory.New(memory.Config{})
				// One asks for the token, the other one revokes it.
				broker, other := service.NewBroker(store, service.Config{}), service.NewBroker(store, service.Config{})
				done := context.WithoutCancel(t.Context())
				defer func() { _ = other.Close(done) }()
				if _, err := broker.CreateTopic(t.Context(), "orders", service.TopicChange{}); err != nil {
					t.Fatal(err)
				}
				token, text, err := other.CreateToken(t.Context(),
					service.NewToken{Name: "reader", Scopes: []service.Scope{"consume:orders"}, Life: c.life})
				if err != nil {
					t.Fatal(err)
				}
				if c.revoked > 0 {
					time.AfterFunc(c.revoked, func() { _, _ = other.RevokeToken(done, token.ID) })
				}
				began := time.Now()
				closing := time.AfterFunc(c.closed, func() { _ = broker.Close(done) })
				defer func() {
					if closing.Stop() {
						_ = broker.Close(done)
					}
				}()
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/topics/orders/stream?offset=0", http.NoBody)
				r.Header.Set("Authorization", "Bearer "+text)
				out := httptest.NewRecorder()
				api.NewHandler(broker, api.Config{Authenticate: true}).ServeHTTP(out, r)

				took := time.Since(began)
				_, last, _ := strings.Cut(out.Body.String(), "event: error\n")
				if !strings.Contains(last, `"code":"`+c.code+`"`) || strings.Contains(last, "request_id") {
					t.Errorf("the stream ends with %q", out.Body)
				}
				if took < c.least || took > c.least+10*time.Second {
					t.Errorf("it ends after %s", took)
				}
				if beats, want := strings.Count(out.Body.String(), ":\n\n"), 1+int(took/(15*time.Second)); beats > want || beats < want-1 {
					t.Errorf("%d heartbeats in %s", beats, took)
				}
			})
		})
	}
}
