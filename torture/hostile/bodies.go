package hostile

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Input is one request that is wrong, as it goes over the wire, and the answers that are right: a status,
// or 0 for a connection that is closed without one.
type Input struct {
	Name string
	Text string
	Want []int
}

const (
	hostMark = "%HOST%"
	// answerLimit is how long a broker may take to refuse. The longest time it gives a client is for a
	// body that was announced and does not come.
	answerLimit = 30 * time.Second
	tooLong     = 8<<20 + 1 // bytes, one more than a request may have
)

// Inputs are requests about a topic and one of its producers, none of which may store or move anything.
func Inputs(topic string, producer int64) []Input {
	good := fmt.Sprintf(`{"topic":%q,"producer_id":%d,"message":"hostile"`, topic, producer)
	return slices.Concat(framing(good+"}"), values(good), targets(topic))
}

func post(body string, headers ...string) string {
	if headers == nil {
		headers = []string{"Content-Type: application/json"}
	}
	headers = append(headers, "Content-Length: "+strconv.Itoa(len(body)))
	return "POST /producer/produce HTTP/1.1\r\nHost: " + hostMark + "\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n" + body
}

// framing is about HTTP itself.
func framing(good string) []Input {
	head := "POST /producer/produce HTTP/1.1\r\nHost: " + hostMark + "\r\nContent-Type: application/json\r\n"
	return []Input{
		{"a form", post(good, "Content-Type: application/x-www-form-urlencoded"), []int{415}},
		{"no content type", post(good, "X: y"), []int{415}},
		{"compressed", post(good, "Content-Type: application/json", "Content-Encoding: gzip"), []int{415}},
		{"announced too long", head + fmt.Sprintf("Content-Length: %d\r\n\r\n", tooLong), []int{413}},
		{"too long in chunks", head + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n", tooLong) +
			strings.Repeat(" ", tooLong) + "\r\n0\r\n\r\n", []int{413, 0}},
		{"two lengths", head + "Content-Length: 7\r\nContent-Length: 8\r\n\r\n" + good, []int{400}},
		{"a negative length", head + "Content-Length: -1\r\n\r\n" + good, []int{400}},
		{"an unknown coding", head + "Transfer-Encoding: gzip\r\n\r\n" + good, []int{501}},
		{"a giant chunk", head + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + good, []int{400}},
		{"a bad header", head + "Bad Name: x\r\nContent-Length: 1\r\n\r\nx", []int{400}},
		{"a header block too long", head + "X: " + strings.Repeat("x", 20_000) + "\r\n\r\n", []int{431}},
		{"another host", "GET /healthz HTTP/1.1\r\nHost: evil.test\r\n\r\n", []int{421}},
		{"another origin", post(good, "Content-Type: application/json", "Origin: http://evil.test"), []int{403}},
		{"another site", post(good, "Content-Type: application/json", "Sec-Fetch-Site: cross-site"), []int{403}},
		{"not HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", []int{400, 0}},
	}
}

// values is about bodies; all are refused as malformed, but for those that are too large.
func values(good string) []Input {
	deep := func(n int) string {
		return good + `,"headers":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}"
	}
	var keys bytes.Buffer
	keys.WriteString(good)
	for i := range 200_000 {
		_, _ = fmt.Fprintf(&keys, `,"k%d":0`, i)
	}
	keys.WriteByte('}')
	inputs := []Input{{"a message too large", post(strings.Replace(good, "hostile", strings.Repeat("x", 1<<20+1), 1) + "}"), []int{413}}}
	for name, body := range map[string]string{
		"nothing": "", "null": "null", "a list": "[]", "two values": good + "}" + good + "}", "cut short": good,
		"a byte-order mark": "\xef\xbb\xbf" + good + "}", "a key twice": good + `,"message":"again"}`,
		"a key in capitals": good + `,"SEQ":1}`, "an unknown key": good + `,"offset":1}`, "seq null": good + `,"seq":null}`,
		"seq a string": good + `,"seq":"1"}`, "seq negative": good + `,"seq":-1}`, "seq too large": good + `,"seq":9007199254740992}`,
		"seq a fraction": good + `,"seq":1.0}`, "a number of a megabyte": good + `,"seq":` + strings.Repeat("1", 1<<20) + "}",
		"nested 17 deep": deep(17), "nested a million deep": deep(1_000_000), "200,000 keys": keys.String(),
		"not UTF-8": strings.Replace(good, "hostile", "\xff\xfe", 1) + "}", "overlong UTF-8": strings.Replace(good, "hostile", "\xc0\xaf", 1) + "}",
		"half a surrogate": strings.Replace(good, "hostile", `\ud800`, 1) + "}", "a raw NUL": strings.Replace(good, "hostile", "\x00", 1) + "}",
		"bad base64":    strings.Replace(good, `"message":"hostile"`, `"message_base64":"a$=="`, 1) + "}",
		"a name of SQL": good + `,"prod_name":"'; DROP TABLE messages;--"}`, "a name with NUL": good + `,"prod_name":"a\u0000b"}`,
		"a name with escapes": good + `,"prod_name":"a\r\n\u001b[31m"}`, "a name too long": good + `,"prod_name":"` + strings.Repeat("x", 129) + `"}`,
		"no messages": strings.Replace(good, `"message":"hostile"`, `"messages":[]`, 1) + "}",
	} {
		inputs = append(inputs, Input{name, post(body), []int{400}})
	}
	slices.SortFunc(inputs, func(a, b Input) int { return strings.Compare(a.Name, b.Name) })
	return inputs
}

// targets is about what stands in the first line.
func targets(topic string) []Input {
	var inputs []Input
	for query, want := range map[string]int{
		"": 400, "?offset=%zz": 400, "?offset=0;offset=1": 400, "?offset=0&offset=1": 400, "?offset=+1": 400,
		"?offset=-1": 400, "?offset=9223372036854775808": 400, "?offset=1e3": 400, "?offset=0&limit=0": 400,
		"?offset=0&limit=1000000000": 400, "?offset=0&wait=-1": 400, "?offset=0&wait=NaN": 400, "?offset=9007199254740991": 416,
	} {
		inputs = append(inputs, Input{"read " + query, "GET /topics/" + topic + "/messages" + query + " HTTP/1.1\r\nHost: " + hostMark + "\r\n\r\n", []int{want}})
	}
	for name, want := range map[string][]int{
		"a%2Fb": {400, 404}, "%2e%2e": {400}, "%00": {400}, "%ff": {400}, "%zz": {400}, "%252e": {400}, "a;b": {400}, "%D0%B0": {400},
		strings.Repeat("x", 129): {400},
	} {
		inputs = append(inputs, Input{"topic " + name, "GET /topics/" + name + " HTTP/1.1\r\nHost: " + hostMark + "\r\n\r\n", want})
	}
	for _, method := range []string{"TRACE", "CONNECT", "post", "DELETE"} {
		inputs = append(inputs, Input{"method " + method, method + " /producer/produce HTTP/1.1\r\nHost: " + hostMark + "\r\nContent-Length: 0\r\n\r\n", []int{400, 404, 405}})
	}
	slices.SortFunc(inputs, func(a, b Input) int { return strings.Compare(a.Name, b.Name) })
	return inputs
}

// Send sends an input to a broker and returns the status of its answer, 0 if it closed the connection
// without one.
func (in Input) Send(ctx context.Context, addr string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	end := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer end()
	// A broker may refuse before it has read all: both directions at once.
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = io.WriteString(conn, strings.ReplaceAll(in.Text, hostMark, addr))
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	_ = conn.SetDeadline(time.Unix(1, 0))
	<-written
	if err != nil {
		if ctx.Err() != nil {
			return 0, fmt.Errorf("%s: no answer, and still connected: %w", in.Name, context.Cause(ctx))
		}
		return 0, nil // closed: whether that is right is said by Want
	}
	return resp.StatusCode, resp.Body.Close()
}

// Check sends an input and returns an error if the answer is not a right one.
func (in Input) Check(ctx context.Context, addr string) error {
	status, err := in.Send(ctx, addr)
	if err != nil {
		return err
	}
	if !slices.Contains(in.Want, status) {
		return fmt.Errorf("%w: %s was answered with %d, want one of %v", errWrongAnswer, in.Name, status, in.Want)
	}
	return nil
}

var errWrongAnswer = errors.New("a wrong answer")
