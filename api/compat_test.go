package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/service"
)

// TestOlderClients: what they send, and the canonical request that means the same.
func TestOlderClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, apitest.AnyRequest())
	consumer := w.fill("orders")
	producer := w.send(http.MethodPost, "/producer/register", `{"topic":"orders"}`).id("producer_id")
	id := func(format string, args ...any) string { return fmt.Sprintf(format, args...) }
	for _, c := range []struct {
		name, method, target, body string
		want                       string // in the answer
	}{
		{"topic_name on create", "POST", "/topics", `{"topic_name":"one"}`, `Topic 'one' created`},
		{"topic_name on create, in the query", "POST", "/topics?topic_name=two", "", `Topic 'two' created`},
		{"name on create, in the query", "POST", "/topics?name=three", "", `Topic 'three' created`},
		{"both on create", "POST", "/topics", `{"topic_name":"four","name":"four"}`, `"field":"name"`},
		{"topic on create", "POST", "/topics", `{"topic":"four"}`, `"field":"topic"`},
		{"topic_name along with the list", "GET", "/topics?topic_name=x", "", `"topics":["one","orders"`},
		{"topic_name along with the list, in a body", "GET", "/topics", `{"topic_name":"x"}`, `"topics":["one","orders"`},
		{"an empty body along with the list", "GET", "/topics", `{}`, `"topics":["one","orders"`},
		{"parameters of the list in a body", "GET", "/topics", `{"limit":1}`, `"next":"one"`},
		{"topic_name on register", "POST", "/producer/register", `{"topic_name":"orders"}`, `"producer_id":`},
		{"prod_client on register", "POST", "/producer/register", `{"topic_name":"orders","prod_client":"old"}`, `"epoch":1`},
		{"both on register", "POST", "/producer/register", `{"topic_name":"orders","topic":"orders"}`, `"field":"topic"`},
		{"both names on register", "POST", "/producer/register", `{"topic":"orders","prod_client":"a","prod_name":"a"}`, `"field":"prod_name"`},
		{"register by query", "POST", "/consumer/register?topic_name=orders&cons_name=old", "", `"consumer_id":`},
		{
			"produce", "POST", "/producer/produce",
			id(`{ "topic_name" : "orders", "producer_id" : "%d", "prod_client":"old2", "message":"1" }`, producer), `"offset":3`,
		},
		{
			"produce by query", "POST",
			id("/producer/produce?topic_name=orders&producer_id=%d&message=a%%20%%22%%00b&prod_client=old2", producer), "", `"offset":4`,
		},
		{
			"the bytes of messages stay", "POST", "/producer/produce",
			id(`{"message":"\"topic_name\":\"x\" \u0041\\","topic_name":"orders","producer_id":%d,"headers":{"topic_name":"h","producer_id":"7"}}`, producer),
			`"offset":5`,
		},
		{"a seq is no id", "POST", "/producer/produce", id(`{"topic":"orders","producer_id":%d,"seq":"0","message":"x"}`, producer), `"field":"seq"`},
		{"an id that is no number", "POST", "/producer/produce", `{"topic":"orders","producer_id":"12x","message":"x"}`, `"field":"producer_id"`},
		{"an empty id", "POST", "/producer/produce", `{"topic":"orders","producer_id":"","message":"x"}`, `"field":"producer_id"`},
		{"an id with a zero", "POST", "/producer/produce", `{"topic":"orders","producer_id":"012","message":"x"}`, `"field":"producer_id"`},
		{"messages by query", "POST", id("/producer/produce?topic=orders&producer_id=%d&messages=[]", producer), "", `"field":"messages"`},
		{"nonsense by query", "POST", "/producer/register?topic=orders&x=1", "", `"field":"x"`},
		{"a query beside a body", "POST", "/producer/register?topic=orders", `{"topic":"orders"}`, `"field":"topic"`},
		{"client_size", "GET", "/producer/client_size?prod_client=old2", "", `"count":2`},
		{"client_size in a body", "GET", "/producer/client_size", `{"prod_client":"old2","topic_name":"orders"}`, `"count":2`},
		{"size", "GET", id("/size?topic_name=orders&consumer_id=%d", consumer), "", `"size":6`},
		{"size in a body", "GET", "/size", id(`{"topic_name":"orders","consumer_id":"%d"}`, consumer), `"size":6`},
		{"size in a body, a number", "GET", "/size", id(`{"topic_name":"orders","consumer_id":%d}`, consumer), `"size":6`},
		{"consume", "GET", id("/consumer/consume?topic_name=orders&consumer_id=%d", consumer), "", `"message":"zero"`},
		{"consume in a body", "GET", "/consumer/consume", id(`{"topic_name":"orders","consumer_id":%d}`, consumer), `"message_base64":"AAEC"`},
		{"consume by query of a POST", "POST", id("/consumer/consume?topic_name=orders&consumer_id=%d&limit=1", consumer), "", `"messages":[{`},
		{"set_offset by query", "POST", id("/consumer/set_offset?consumer_id=%d&offset=-1", consumer), "", `"offset":0`},
		{"set_offset by text", "POST", "/consumer/set_offset", id(`{"topic_name":"orders","consumer_id":"%d","offset":3}`, consumer), `"offset":3`},
		{"both in the query", "GET", id("/size?topic_name=orders&topic=orders&consumer_id=%d", consumer), "", `"field":"topic"`},
		{"a query and a body", "GET", id("/size?consumer_id=%d", consumer), `{"topic":"orders"}`, `not in both`},
		{"an object in the body of a GET", "GET", "/size", `{"topic":{}}`, `"field":"topic"`},
		{"null in the body of a GET", "GET", "/size", `{"topic":null}`, `"field":"topic"`},
		{"an array as the body of a GET", "GET", "/size", `[]`, `JSON object`},
		{"two bodies of a GET", "GET", "/size", `{"topic":"orders"}{}`, `invalid_request`},
		{"half a body of a GET", "GET", "/size", `{"topic":"orders"`, `invalid_request`},
		{"a repeated member in the body of a GET", "GET", "/size", `{"topic":"orders","topic":"orders"}`, `"field":"topic"`},
		{"an unknown member in the body of a GET", "GET", "/size", `{"topic":"orders","x":1}`, `"field":"x"`},
		{"a fraction in the body of a GET", "GET", "/size", `{"topic":"orders","consumer_id":1.0}`, `"field":"consumer_id"`},
		{"an unknown member is refused before the rest is read", "POST", "/topics", `{"topic_name":"x","k":1,`, `"field":"k"`},
		{"an unknown member of a GET, too", "GET", "/size", `{"topic_name":"x","k":1,`, `"field":"k"`},
		{"a member without a name", "GET", "/size", id(`{"topic":"orders","consumer_id":%d,"":7}`, consumer), `is unknown`},
		{"a parameter without a name", "GET", id("/size?topic_name=orders&consumer_id=%d&=7", consumer), "", `is unknown`},
		{"topic_name along with the list is ignored, whatever it is", "GET", "/topics", `{"topic_name":{},"limit":1}`, `"next":"one"`},
		{"an escaped topic_name", "POST", "/producer/register", `{"topic_n\u0061me":"orders"}`, `"field":"topic_name"`},
		{"an escaped topic_name beside an old name", "POST", "/producer/register", `{"topic_n\u0061me":"orders","prod_client":"a"}`, `"field":"topic_name"`},
		{"an escaped topic_name in the body of a GET", "GET", "/producer/client_size", `{"topic_n\u0061me":"orders","prod_name":"a"}`, `"field":"topic_name"`},
		{"an escaped id that is text", "POST", "/consumer/set_offset", id(`{"consumer_\u0069d":"%d","offset":0}`, consumer), `"field":"consumer_id"`},
		{"an escaped id that is text beside an old name", "POST", "/consumer/set_offset", id(`{"topic_name":"orders","consumer_\u0069d":"%d","offset":0}`, consumer), `"field":"consumer_id"`},
		{"an escaped name of the document beside an old name", "POST", "/producer/register", `{"topi\u0063":"orders","prod_client":"escaped"}`, `"epoch":1`},
		{"the same name twice, once escaped", "POST", "/producer/register", `{"topic_name":"orders","topi\u0063":"orders"}`, `"field":"topic"`},
		{"a body where none ever was", "GET", "/topics/orders", `{}`, `no body`},
		{"a body of a DELETE", "DELETE", "/topics/orders", `{}`, `no body`},
		{"topic_name where no older client was", "GET", "/topics/orders/messages?topic_name=orders&offset=0", "", `"field":"topic_name"`},
	} {
		if r := w.send(c.method, c.target, c.body); !strings.Contains(r.text, c.want) {
			t.Errorf("%s: %s %s %s\nanswers %d %s, want %s", c.name, c.method, c.target, c.body, r.status, r.text, c.want)
		}
	}
	stored := w.send(http.MethodGet, "/topics/orders/messages?offset=3", "").text
	for _, want := range []string{
		`"message":"1"`, `"message":"a \"\u0000b"`, `"message":"\"topic_name\":\"x\" A\\"`, `"producer_id":"7"`, `"topic_name":"h"`,
	} {
		if !strings.Contains(stored, want) {
			t.Errorf("stored are %s, want %s", stored, want)
		}
	}
}

// TestBodiesOfGET: the document knows no other refusal of them than invalid_request.
func TestBodiesOfGET(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{RequestBytes: 1000})
	for _, c := range []struct{ body, contentType string }{
		{"topic=orders", "application/x-www-form-urlencoded"}, {`{"topic":"orders"}`, "text/plain"}, {strings.Repeat(" ", 2000), "application/json"},
	} {
		if r := w.send(http.MethodGet, "/size", c.body, "Content-Type", c.contentType); r.status != http.StatusBadRequest {
			t.Errorf("%v: %d %s", c, r.status, r.text)
		}
	}
}

// TestFormOfAForeignPage: a POST without a body needs no content type, so a form can send it.
func TestFormOfAForeignPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nothing(), service.Limits{}, apitest.AnyRequest())
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "null"}, {"Origin", "http://evil.test"}} {
		if r := w.send(http.MethodPost, "/topics?name=evil", "", header...); r.code() != "cross_origin" {
			t.Errorf("%v: %d %s", header, r.status, r.text)
		}
	}
}
