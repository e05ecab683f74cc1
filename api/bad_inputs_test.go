package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// badInput is something that a broker has to cope with, and how it may answer.
type badInput struct {
	// row is where it stands in the catalogue of bad inputs of the project's security notes. Rows 61,
	// 83–85, 87, 88 and 90–92 are tests of their own (ownTests).
	row  string
	text string
	// want are the statuses that are right; 0 is a connection closed without an answer.
	want []int
	// closes says that the connection must not be used after the answer.
	closes bool
	// stores says that it is not bad after all, and a message is stored.
	stores bool
	// hangUp closes the sending half of the connection after the text.
	hangUp bool
}

func bad(row, text string, want ...int) badInput { return badInput{row: row, text: text, want: want} }

func closing(b badInput) badInput {
	b.closes = true
	return b
}

// changing is accepted, and changes something.
func changing(row, text string) badInput { return stored(row, text) }

func stored(row, text string) badInput {
	return badInput{row: row, text: text, want: []int{http.StatusOK}, stores: true}
}

// post is a POST of JSON; headers replace the content type if there are any.
func post(path, body string, headers ...string) string {
	if headers == nil {
		headers = []string{"Content-Type: application/json"}
	}
	headers = append(headers, "Content-Length: "+strconv.Itoa(len(body)))
	return "POST " + path + " HTTP/1.1\r\nHost: %HOST%\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n" + body
}

// get is a GET; headers may hold another Host.
func get(target string, headers ...string) string {
	if !slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "Host:") }) {
		headers = append(headers, "Host: %HOST%")
	}
	return "GET " + target + " HTTP/1.1\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n"
}

const (
	ok        = http.StatusOK
	malformed = http.StatusBadRequest
	forbidden = http.StatusForbidden
	notFound  = http.StatusNotFound
	notJSON   = http.StatusUnsupportedMediaType
	tooLarge  = http.StatusRequestEntityTooLarge
)

// badInputs lists all of them. shop is a named producer of the topic "orders", whose epoch is 6 and
// whose next seq is 3; producer and consumer are anonymous ones.
func badInputs(producer, shop, consumer int64) []badInput {
	return slices.Concat(
		badFraming(producer), badJSON(producer, shop), badNames(), badParameters(), badOrigins(consumer), badSessions(shop))
}

func produceBody(producer int64, members string) string {
	return fmt.Sprintf(`{"topic":"orders","producer_id":%d%s}`, producer, members)
}

// badFraming is about HTTP itself.
func badFraming(producer int64) []badInput {
	const path = "/producer/produce"
	good := produceBody(producer, `,"message":"x"`)
	head := "POST " + path + " HTTP/1.1\r\nHost: %HOST%\r\nContent-Type: application/json\r\n"
	length := "Content-Length: " + strconv.Itoa(len(good)) + "\r\n"
	chunk := strconv.FormatInt(int64(len(good)), 16) + "\r\n" + good + "\r\n0\r\n\r\n"
	large := strings.Repeat(" ", 8<<20)
	return []badInput{
		bad("1", post(path, good, "X: y"), notJSON),
		bad("2", post(path, good, "Content-Type: text/plain"), notJSON),
		bad("3", post(path, good, "Content-Type: application/x-www-form-urlencoded"), notJSON),
		bad("4", post(path, good, "Content-Type: application/xml"), notJSON),
		bad("5", post(path, good, "Content-Type: multipart/form-data; boundary=x"), notJSON),
		bad("5b", post(path, good, "Content-Type: application/json; charset=latin1"), notJSON),
		bad("5c", post(path, good, "Content-Type: application/json", "Content-Type: text/plain"), notJSON),
		stored("5d", post(path, good, "Content-Type: Application/JSON; charset=\"UTF-8\"", "Content-Encoding: identity")),
		bad("6", post(path, good, "Content-Type: application/json", "Content-Encoding: gzip"), notJSON),
		closing(bad("7", head+"Content-Length: 8388609\r\n\r\n", tooLarge)),
		closing(bad("8", head+"Transfer-Encoding: chunked\r\n\r\n800001\r\n"+large+" \r\n0\r\n\r\n", tooLarge)),
		closing(bad("9", head+length+"Transfer-Encoding: chunked\r\n\r\n"+chunk, malformed)),
		closing(bad("9", head+"Transfer-Encoding: chunked\r\n"+length+"\r\n"+chunk, malformed)),
		closing(bad("9", head+"transfer-encoding: Chunked\nCONTENT-LENGTH:0\n\n"+chunk, malformed)),
		closing(bad("9", strings.Replace(head, "HTTP/1.1", "HTTP/1.0", 1)+length+"Transfer-Encoding: chunked\r\n\r\n"+good, malformed)),
		closing(stored("9b", head+"Transfer-Encoding: chunked\r\n\r\n"+chunk)),
		bad("10", head+length+"Content-Length: 7\r\n\r\n"+good, malformed),
		stored("11", head+length+length+"\r\n"+good),
		bad("12", head+"Content-Length: +9\r\n\r\n"+good, malformed),
		bad("12b", head+"Content-Length: -1\r\n\r\n"+good, malformed),
		bad("13", head+"Transfer-Encoding: gzip\r\n\r\n"+good, http.StatusNotImplemented),
		bad("13b", head+"Transfer-Encoding: chunked, chunked\r\n\r\n"+chunk, http.StatusNotImplemented),
		bad("14", head+"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"+good, malformed),
		{row: "15", text: head + "Content-Length: 1000\r\n\r\n" + good, want: []int{malformed}, hangUp: true},
		{row: "15b", text: head + "Transfer-Encoding: chunked\r\n\r\n" + strings.TrimSuffix(chunk, "0\r\n\r\n"), want: []int{malformed}, hangUp: true},
		bad("16", head+"Bad Name: x\r\n"+length+"\r\n"+good, malformed),
		bad("16b", head+"X: a\x00b\r\n"+length+"\r\n"+good, malformed),
		stored("17", head+"X: a\r\n b\r\n"+length+"\r\n"+good),
		stored("17b", strings.ReplaceAll(head+length+"\r\n"+good, "\r\n", "\n")),
		bad("18", "GET /size HTTP/1.1\r\n\r\n", malformed),
		bad("18b", "GET /size HTTP/1.1\r\nHost: %HOST%\r\nHost: evil.test\r\n\r\n", malformed),
		bad("19", get("http://evil.test/healthz"), http.StatusMisdirectedRequest),
		bad("20", post(path, ""), malformed),
		bad("82", get("/healthz", "X: "+strings.Repeat("x", 17<<10)), http.StatusRequestHeaderFieldsTooLarge),
		bad("82b", get("/healthz", slices.Repeat([]string{"A: b"}, 2000)...), ok),
		bad("82c", get("/healthz", slices.Repeat([]string{"Abcdef: bcd"}, 2000)...), http.StatusRequestHeaderFieldsTooLarge),
		bad("86", head+"Expect: 100-continue\r\nContent-Length: 8388609\r\n\r\n", tooLarge),
		bad("86b", head+"Expect: foo\r\n"+length+"\r\n"+good, http.StatusExpectationFailed),
		stored("86c", head+"Expect: 100-continue\r\n"+length+"\r\n"+good),
	}
}

// badJSON is about bodies.
//
// Those about seq are sent by a named producer whose next seq is 3: a seq of it that were read after
// all would be answered otherwise.
func badJSON(producer, shop int64) []badInput {
	var list []badInput
	add := func(row string, bodies ...string) {
		for _, body := range bodies {
			list = append(list, bad(row, post("/producer/produce", body), malformed))
		}
	}
	with := func(members string) string { return produceBody(shop, `,"message":"x",`+members) }
	saying := func(text string) string { return produceBody(producer, `,"message":`+text) }
	good := produceBody(producer, `,"message":"x"`)
	add("21", "null")
	add("22", "[]", `"x"`, "1", "true", "["+good+"]")
	add("23", good+good, good+" x", good+"}", good+"\x00", strings.TrimSuffix(good, "}"))
	add("24", "\xef\xbb\xbf"+good)
	add("25", with(`"seq":1,"seq":2`), with(`"message":"y"`), with(`"headers":{"a":"1","a":"2"}`))
	add("26", with(`"SEQ":7`), with(`"Seq":7`))
	add("27", with(`"ſeq":9`))
	list = append(list, stored("28", post("/producer/produce", good)))
	add("29", with(`"seq":null`), with(`"epoch" : null`), with(`"headers":null`), with(`"headers":{"a":null}`), saying("null"),
		produceBody(producer, `,"messages":[null]`), produceBody(producer, `,"messages":[{"message":null}]`))
	add("30", with(`"seq":"1"`), with(`"epoch":"1"`))
	add("31", with(`"unknown":1`), produceBody(producer, `,"messages":[{"message":"x","unknown":1}]`))
	add("32", with(`"offset":1`), with(`"epoch_override":1`), with(`"tenant":"a"`))
	add("33", with(`"seq":-1`), with(`"epoch":-1`), with(`"expected_offset":-1`))
	add("34", with(`"seq":9007199254740992`), with(`"seq":9223372036854775807`),
		with(`"seq":9007199254740991`)) // for next_seq would be beyond
	list = append(list, bad("34", post("/producer/produce", with(`"seq":9007199254740990`)), http.StatusConflict)) // seq_gap
	add("35", with(`"seq":9223372036854775808`), with(`"seq":1`+strings.Repeat("0", 400)))
	add("36", with(`"seq":1.0`), with(`"seq":1e3`), with(`"seq":0x1`), with(`"seq":01`), with(`"seq":NaN`), with(`"seq":+1`), with(`"seq":undefined`), with(`"seq":-0`),
		with(`"seq": -0`), with(`"seq":-0.0`), with(`"messages":[-0]`), "-0")
	add("37", with(`"seq":`+strings.Repeat("9", 1<<20)))
	for _, depth := range []int{17, 10_000, 10_001, 1_000_000} {
		nested := strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1)
		add("38", saying(nested), saying(strings.Repeat("[", depth)))
		add("39", with(`"unknown":`+nested))
	}
	var keys strings.Builder
	for i := range 300_000 {
		fmt.Fprintf(&keys, `,"k%d":1`, i)
	}
	add("40", produceBody(producer, keys.String()), with(`"headers":{`+strings.ReplaceAll(keys.String(), ":1", `:""`)[1:]+`}`))
	// The same in the shapes of older clients, which are read twice.
	list = append(list, bad("40b", post("/topics", `{"topic_name":"x"`+keys.String()+"}"), malformed),
		bad("40b", strings.Replace(post("/size", `{"topic":"x"`+keys.String()+"}"), "POST", "GET", 1), malformed))
	add("41", saying("\"\xff\""), saying("\"\xc3\x28\""), saying("\"\xed\xa0\x80\""))
	add("42", saying("\"\xc0\xaf\""))
	add("43", saying(`"\ud800"`), saying(`"\ud800\u0041"`), saying(`"\udc00"`))
	list = append(list, stored("44", post("/producer/produce", saying(`"a\u0000b"`))))
	add("45", saying("\"a\x00b\""), saying("\"a\nb\""), "\x00"+good)
	for _, text := range []string{"A", "AAE", "AA=", "AA==\\n", "AA\\r\\n==", "_-8=", "AA==AA==", "A A=", "é===", "AB==", "AAF=", `\u0041\u0042==`} {
		add("46", produceBody(producer, `,"message_base64":"`+text+`"`))
	}
	return list
}

// badNames is about topics and names of clients.
func badNames() []badInput {
	var list []badInput
	in := func(row string, want int, segments ...string) {
		for _, s := range segments {
			list = append(list, bad(row, get("/topics/"+s+"/messages?offset=0"), want), bad(row, get("/topics/"+s), want))
		}
	}
	in("47", malformed, "a%2Fb", "a%2fb", "%2F")
	in("48", malformed, "..", "%2e%2e", ".", "%2E")
	list = append(list, bad("49", get("/topics//messages?offset=0"), notFound), bad("49", get("/topics/"), notFound),
		bad("49", get("//topics"), notFound), bad("49", get("/topics/orders//messages?offset=0"), notFound))
	in("50", malformed, "%00", "a%00")
	in("51", malformed, "%ff")
	in("52", malformed, "%zz", "%")
	in("53", malformed, "%252e", "%252F", "%25")
	in("54", malformed, strings.Repeat("a", 129))
	in("54", http.StatusRequestHeaderFieldsTooLarge, strings.Repeat("a", 30_000))
	strange := []string{"a;b", "a b", "a\tb", "a\nb", "\U0001F600", "\u200f", "caf\u00e9", "cafe\u0301", "\u0430", "a:b", "a?b", "a#b", "a,b", "*", "'a'"}
	for _, name := range strange {
		in("55", malformed, url.PathEscape(name))
		list = append(list,
			bad("55", get("/topics?prefix="+url.QueryEscape(name)), malformed),
			bad("55", post("/topics", fmt.Sprintf(`{"name":%q}`, name)), malformed))
	}
	in("56", notFound, "topics", "__internal", "null", "undefined", "messages", "-", "%6eull")
	for _, name := range []string{
		"", " ", strings.Repeat("a", 129), strings.Repeat("\u00e9", 2000), "a\u0000b", "'; DROP TABLE messages;--",
		"a\r\nX: y", "\u001b[31mred", "..", "a/b",
	} {
		quoted := strconv.QuoteToASCII(name)
		quoted = strings.NewReplacer(`\x00`, `\u0000`, `\x1b`, `\u001b`).Replace(quoted)
		list = append(list,
			bad("57–60", post("/producer/register", `{"topic":"orders","prod_name":`+quoted+`}`), malformed),
			bad("57–60", post("/consumer/register", `{"topic":"orders","cons_name":`+quoted+`}`), malformed),
			bad("57–60", get("/producer/client_size?prod_name="+url.QueryEscape(name)), malformed))
	}
	// Names that only look like something else are names.
	for _, name := range []string{"topics", "__internal", "null", "undefined"} {
		list = append(list, changing("56", post("/topics", fmt.Sprintf(`{"name":%q}`, name))), bad("56", get("/topics/"+name), ok))
	}
	list = append(list, changing("62", post("/topics", `{"name":"Orders"}`)), bad("62", get("/topics/Orders"), ok))
	return append(list,
		bad("57", post("/producer/register", `{"topic":"orders","prod_name":"`+strings.Repeat("\u00e9", 4500)+`"}`), malformed),
		bad("58", post("/producer/register", "{\"topic\":\"orders\",\"prod_name\":\"\xff\"}"), malformed),
		bad("62", get("/topics/ORDERS"), notFound),
		bad("62", get("/topics/orders"), ok))
}

// badParameters is about query strings.
func badParameters() []badInput {
	var list []badInput
	in := func(row string, want int, queries ...string) {
		for _, query := range queries {
			list = append(list, bad(row, get("/topics/orders/messages"+query), want))
		}
	}
	in("63", malformed, "", "?", "?limit=1", "?OFFSET=1")
	in("64", malformed, "?offset=%zz", "?%zz=1&offset=1", "?offset=1&limit=%", "?offset=%ff")
	in("65", malformed, "?offset=1;offset=2", "?offset=1;limit=2", "?offset=1;")
	in("66", malformed, "?offset=1&offset=2", "?offset=1&offset=1", "?offset=1&%6fffset=1")
	in("67", malformed, "?offset=+1", "?offset=%201", "?offset=1%20", "?offset=%2B1", "?offset=%EF%BC%91", "?offset=", "?offset", "?offset=01")
	in("68", malformed, "?offset=-1", "?offset=9007199254740992", "?offset=9223372036854775808", "?offset=1e3", "?offset=0x10", "?offset=1_000",
		"?offset=1.0", "?offset=-0", "?offset="+strings.Repeat("9", 400))
	in("69", ok, "?offset=3", "?offset=1&&limit=1", "?%6fffset=1")
	in("69", http.StatusRequestedRangeNotSatisfiable, "?offset=9007199254740991")
	list = append(list, bad("69", get("/topics/trimmed/messages?offset=2"), http.StatusGone),
		bad("69", get("/topics/trimmed/messages?offset=5"), ok),
		bad("69", get("/topics/trimmed/messages?offset=6"), http.StatusRequestedRangeNotSatisfiable))
	in("70", malformed, "?offset=0&limit=0", "?offset=0&limit=-1", "?offset=0&limit=1000000000", "?offset=0&wait=-1", "?offset=0&wait=1000000000",
		"?offset=0&wait=9007199254740991", "?offset=0&wait=5s", "?offset=0&wait=NaN", "?offset=0&max_bytes=0", "?offset=0&unknown=1", "?offset=0&=1")
	return append(list, bad("70", get("/topics/orders/messages?offset=0&"+strings.Repeat("a&", 4000)), malformed))
}

// badOrigins is about what browsers send for pages of other sites.
func badOrigins(consumer int64) []badInput {
	create := func(header string) string {
		return post("/topics", `{"name":"evil"}`, "Content-Type: application/json", header)
	}
	consume := fmt.Sprintf("/consumer/consume?topic=orders&consumer_id=%d", consumer)
	const misdirected = http.StatusMisdirectedRequest
	return []badInput{
		bad("71", create("Sec-Fetch-Site: cross-site"), forbidden),
		bad("72", create("Origin: http://evil.test"), forbidden),
		bad("72", create("Origin: null"), forbidden),
		bad("73", create("Sec-Fetch-Site: same-site"), forbidden),
		bad("73", create("Origin: http://127.0.0.1:1"), forbidden),
		bad("73b", "DELETE /topics/orders HTTP/1.1\r\nHost: %HOST%\r\nOrigin: http://evil.test\r\n\r\n", forbidden),
		bad("74", strings.ReplaceAll(create("X: y"), "%HOST%", "evil.test"), misdirected),
		bad("74", strings.ReplaceAll(create("X: y"), "%HOST%", "localhost:1"), misdirected),
		bad("74", strings.ReplaceAll(create("X: y"), "%HOST%", "127.0.0.1.evil.test"), misdirected),
		bad("75", get("/topics", "Host: evil.test"), misdirected),
		bad("75", get("/docs", "Host: localhost.evil.test"), misdirected),
		bad("76", "GET /topics HTTP/1.0\r\n\r\n", malformed),
		bad("77", "OPTIONS /topics HTTP/1.1\r\nHost: %HOST%\r\nOrigin: http://evil.test\r\nAccess-Control-Request-Method: POST\r\n\r\n",
			http.StatusMethodNotAllowed),
		bad("77b", "OPTIONS * HTTP/1.1\r\nHost: %HOST%\r\n\r\n", notFound),
		bad("77c", get("/topics", "Origin: http://evil.test"), forbidden),
		bad("77d", get("/topics", "Sec-Fetch-Site: cross-site"), forbidden),
		bad("77d", get("/topics", "Sec-Fetch-Site: same-site"), forbidden),
		bad("77d", get("/topics", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"), forbidden),
		bad("77d", get("/topics", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"), ok),
		bad("77d", get("/topics", "Sec-Fetch-Site: same-origin", "Referer: http://%HOST%/docs"), ok),
		// A link on another page may lead to what everybody may know, and to nothing else.
		bad("77e", get("/docs", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Referer: http://evil.test/"), ok),
		bad("77e", get("/docs/", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"), ok),
		bad("77e", get("/docs", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"), forbidden),
		bad("77e", get("/healthz", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"), forbidden),
		bad("77e", get("/openapi.json", "Origin: http://evil.test"), forbidden),
		bad("77e", "HEAD /healthz HTTP/1.1\r\nHost: %HOST%\r\nOrigin: http://evil.test\r\n\r\n", forbidden),
		bad("78", get(consume, "Sec-Fetch-Site: cross-site"), forbidden),
		bad("78", get(consume, "Sec-Fetch-Site: same-site"), forbidden),
		bad("78", get(consume, "Origin: http://evil.test"), forbidden),
		bad("78", get(consume, "Origin: null"), forbidden),
		// Over plain HTTP, a browser says no more of an image of a page.
		bad("78c", get(consume, "Accept: image/avif,image/webp,*/*"), forbidden),
		bad("78c", get(consume, "Accept: Image/PNG", "Referer: http://%HOST%/docs"), forbidden),
		bad("78c", get(consume, "Referer: http://evil.test/"), forbidden),
		bad("78c", get(consume, "Referer: http://127.0.0.1:1/"), forbidden),
		bad("78c", get(consume, "Referer: %zz"), forbidden),
		stored("78d", get(consume, "Accept: */*", "Referer: http://%HOST%/docs/")),
		bad("78e", get("/topics", "Referer: http://evil.test/"), forbidden),
		bad("78e", get("/topics", "Accept: image/png"), forbidden),
		bad("78b", post(strings.Replace(consume, "GET", "POST", 1), "", "Origin: http://evil.test"), forbidden),
		bad("79", get("/topics", "X-HTTP-Method-Override: POST", "X-Method-Override: DELETE"), ok),
		bad("79", get("/topics?_method=DELETE"), malformed),
		bad("80", get("/topics", "X-Forwarded-Host: evil.test", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "Forwarded: host=evil.test"), ok),
		bad("80b", get("/topics", "X-Forwarded-Host: localhost", "Host: evil.test"), misdirected),
		// HTTP/2 is not spoken.
		closing(bad("89", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", malformed, notFound, http.StatusHTTPVersionNotSupported)),
		bad("89", get("/healthz", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), ok),
		bad("81", "TRACE /topics HTTP/1.1\r\nHost: %HOST%\r\n\r\n", http.StatusMethodNotAllowed),
		bad("81", "CONNECT %HOST% HTTP/1.1\r\nHost: %HOST%\r\n\r\n", notFound),
		bad("81", "get /topics HTTP/1.1\r\nHost: %HOST%\r\n\r\n", http.StatusMethodNotAllowed),
	}
}

// badSessions is about what the broker decides.
func badSessions(producer int64) []badInput {
	send := func(members string) string { return post("/producer/produce", produceBody(producer, ","+members)) }
	many := `"messages":[{"message":"x"}` + strings.Repeat(`,{"message":"x"}`, 10_000) + `]`
	wide := `"messages":[{"message":"x"}` + strings.Repeat(`,{}`, 1_000_000) + `]`
	big := strings.Repeat("x", 1<<20)
	const conflict = http.StatusConflict
	return []badInput{
		bad("93", send(`"messages":[]`), malformed),
		bad("93", send(many), tooLarge),
		bad("93", send(wide), tooLarge),
		bad("93", send(`"message":"`+big+`x"`), tooLarge),
		bad("93", send(`"messages":[{"message":"`+big+`"}`+strings.Repeat(`,{"message":"`+big+`"}`, 8)+`]`), tooLarge),
		bad("94", send(`"seq":3,"messages":[{"message":"x","seq":3},{"message":"x","seq":3}]`), malformed),
		bad("95", send(`"seq":2,"messages":[{"message":"other"},{"message":"x"}]`), http.StatusUnprocessableEntity),
		bad("96", send(`"epoch":0,"seq":3,"message":"x"`), conflict),
		bad("96", send(`"epoch":2147483648,"seq":3,"message":"x"`), conflict),
		bad("96", send(`"epoch":null,"seq":3,"message":"x"`), malformed),
		stored("96", send(`"seq":3,"message":"x"`)), // without an epoch there is no check of it
	}
}
