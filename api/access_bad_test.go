package api_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/topiq/topiq/api"
	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/service"
)

// TestBadTokens: whatever is wrong, the answer is the same (rows 90 and 91).
func TestBadTokens(t *testing.T) {
	t.Parallel()
	w := guarded(t, apitest.AnyRequest())
	good := strings.TrimPrefix(w.token("admin")[1], "Bearer ")
	revoked := strings.TrimPrefix(w.token("admin")[1], "Bearer ")
	if found, err := w.Broker.RevokeToken(t.Context(), strings.Split(revoked, "_")[1]); err != nil || !found {
		t.Fatal(found, err)
	}
	typo := strings.Replace(good, good[30:31], string("BA"[strings.Count(good[30:31], "B")]), 1)
	want := ""
	for _, headers := range [][]string{
		nil,
		{""},
		{"Basic dXNlcjpwYXNz"},
		{"Bearer"},
		{"Bearer "},
		{"Bearer x"},
		{"Bearer " + typo},
		{"Bearer " + revoked},
		{"Bearer " + good + "A"},
		{"Bearer " + good[:len(good)-1]},
		{"Bearer " + strings.ToLower(good)},
		{good},
		{"Token " + good},
		{"Bearer " + good, "Bearer " + good},
		{"Bearer " + good, "Basic x"},
		{"Bearer \xff\xfe"},
		{"Bearer " + good + "\u00e9"},
		{"Bearer " + strings.Repeat("A", 10_000)},
		{"Bearer tpq_AAAAAAAAAAAAAAAA_" + strings.Repeat("A", 59)},
		{"Bearer " + good + ", Bearer " + good},
	} {
		var lines []string
		for _, h := range headers {
			lines = append(lines, "Authorization: "+h)
		}
		for _, target := range []string{"/topics", "/topics?access_token=" + good, "/topics?token=" + good + "&nonsense=1", "/topics/orders"} {
			a := w.raw(get(target, lines...))
			if want == "" {
				want = a.text
			}
			if a.status != http.StatusUnauthorized || a.text != want || a.header.Get("WWW-Authenticate") != `Bearer realm="topiq"` {
				t.Errorf("%.100q at %.40s: %d %s %v", headers, target, a.status, a.text, a.header)
			}
		}
	}
	if a := w.raw(get("/topics", "Authorization: Bearer "+strings.Repeat("A", 100_000))); a.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a token of 100 kB: %d", a.status)
	}
	// What a stranger sends is not read.
	a := w.raw("POST /topics HTTP/1.1\r\nHost: %HOST%\r\nContent-Type: application/json\r\nContent-Length: 8000000\r\n\r\n{")
	if a.status != http.StatusUnauthorized || !a.closed {
		t.Errorf("a body that never comes: %d, closed: %t", a.status, a.closed)
	}
	for _, header := range []string{"Bearer " + good, "bearer " + good, "BEARER  " + good} {
		if a := w.raw(get("/topics", "Authorization: "+header)); a.status != ok {
			t.Errorf("%.10s: %d %s", header, a.status, a.text)
		}
	}
}

// TestSecretIsNowhere: no line of the log and no answer has the text of a token, but the one that gives
// it out; wherever it was sent by mistake.
func TestSecretIsNowhere(t *testing.T) {
	t.Parallel()
	var log logbook
	w := guarded(t, apitest.AnyRequest(), apitest.Service(service.Config{Logger: log.logger(slog.LevelDebug)}),
		apitest.HTTP(api.Config{Authenticate: true, Logger: log.logger(slog.LevelDebug)}))
	admin := w.token("admin")
	made := w.send(http.MethodPost, "/tokens", `{"name":"shop","scopes":["produce:orders","consume:*"]}`, admin...)
	secret, _ := made.values["token"].(string)
	id, _ := made.values["token_id"].(string)
	if made.status != ok || !strings.HasPrefix(secret, "tpq_"+id+"_") {
		t.Fatalf("create: %d %s", made.status, made.text)
	}
	header := []string{"Authorization", "Bearer " + secret}
	answers := []result{}
	for _, target := range []string{
		"/topics", "/info", "/tokens", "/topics?" + secret + "=1", "/topics?prefix=" + secret, "/topics?access_token=" + secret,
		"/topics/" + secret, "/" + secret, "/topics/orders?" + secret,
	} {
		answers = append(answers, w.send(http.MethodGet, target, "", header...), w.send(http.MethodGet, target, "", admin...), w.send(http.MethodGet, target, ""))
	}
	for _, body := range []string{`{"` + secret + `":1}`, `{"name":1,"` + secret + `":null}`, secret} {
		answers = append(answers, w.send(http.MethodPost, "/topics", body, admin...), w.send(http.MethodPost, "/tokens", body, admin...))
	}
	failure := errors.New("the disk is on fire")
	w.fault.Store(&failure)
	answers = append(answers, w.send(http.MethodPost, "/topics", `{"name":"orders"}`, header...))
	w.fault.Store(nil)
	answers = append(answers, w.send(http.MethodDelete, "/tokens/"+secret, "", admin...), w.send(http.MethodGet, "/tokens", "", admin...),
		w.send(http.MethodDelete, "/tokens/"+id, "", admin...), w.send(http.MethodGet, "/topics", "", header...))
	if last := answers[len(answers)-1]; last.status != http.StatusUnauthorized {
		t.Errorf("after it was revoked: %d", last.status)
	}
	hidden := secret[len("tpq_")+len(id)+1:]
	for _, r := range answers {
		if strings.Contains(r.text, hidden) || strings.Contains(fmt.Sprint(r.header), hidden) {
			t.Errorf("an answer has the secret: %d %s", r.status, r.text)
		}
	}
	lines := log.lines()
	if len(lines) < len(answers) {
		t.Errorf("only %d lines were logged", len(lines))
	}
	told := 0
	for _, line := range lines {
		if strings.Contains(line, hidden) || strings.Contains(line, strings.TrimPrefix(admin[1], "Bearer ")) {
			t.Errorf("the log has the secret: %s", line)
		}
		if strings.Contains(line, "token_id="+id) {
			told++
		}
	}
	if told < 3 {
		t.Errorf("the log tells %d times of the token", told)
	}
}
