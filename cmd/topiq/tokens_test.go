package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTokensAndTLS is what docs/operations.md shows: the first token before the first broker, a broker
// that asks for tokens and speaks TLS, tokens made by it, and their end.
func TestTokensAndTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	authority := newAuthority(t)
	pair := authority.write(t, dir, "server")
	file := func(name string) string { return filepath.Join(dir, name) }
	writeFile(t, file("ca.pem"), authority.text)
	store := "--store=sqlite:" + file("topiq.db")

	o := topiq(t, "", "tokens", "list", store)
	if o.code != exitFailure {
		t.Errorf("a store that is not there: exit code %d, %q", o.code, o.stderr)
	}
	o = topiq(t, "", "tokens", "create", store, "--name=operator", "--scope=admin")
	if o.code != exitOK || strings.Count(o.stdout, "\n") != 1 || !strings.HasPrefix(o.stdout, "tpq_") || !strings.Contains(o.stderr, "it is made now") {
		t.Fatalf("the first token: %+v", o)
	}
	secrets := []string{strings.TrimSpace(o.stdout)}
	writeFile(t, file("operator.token"), o.stdout)

	b := serveHere(t, store, "--auth", "--tls-cert="+pair.cert, "--tls-key="+pair.key, "--log-level=debug")
	if !strings.HasPrefix(b.url, "https://127.0.0.1:") {
		t.Errorf("the broker says %q", b.line)
	}
	ask := func(token string, args ...string) outcome {
		args = append(args, "--url="+b.url, "--ca-file="+file("ca.pem"))
		if token != "" {
			args = append(args, "--token-file="+file(token))
		}
		return topiq(t, "hello\n", args...)
	}
	refused := func(why string, o outcome) {
		t.Helper()
		if o.code != exitFailure || !strings.Contains(o.stderr, why) {
			t.Errorf("exit code %d, %q; want %s", o.code, o.stderr, why)
		}
	}
	refused("unauthorized", ask("", "topics", "list"))
	refused("certificate", topiq(t, "", "topics", "list", "--url="+b.url, "--token-file="+file("operator.token")))
	o = ask("operator.token", "tokens", "create", "--name=shop", "--scope=produce:orders.*", "--scope=consume:orders.eu", "--expires=90d")
	if o.code != exitOK {
		t.Fatalf("a second token: %+v", o)
	}
	secrets = append(secrets, strings.TrimSpace(o.stdout))
	writeFile(t, file("shop.token"), o.stdout)
	refused("forbidden", ask("shop.token", "produce", "invoices"))
	refused("forbidden", ask("shop.token", "tokens", "list"))
	if o := ask("shop.token", "produce", "orders.eu", "--name=one"); o.code != exitOK {
		t.Errorf("produce: %+v", o)
	}
	if o := ask("shop.token", "consume", "orders.eu"); o.stdout != "hello\n" {
		t.Errorf("consume: %+v", o)
	}
	// The other commands of their own get in as these do.
	bench := []string{"bench", "--connections=2", "--duration=20ms", "--warm-up=0s", "--topics=2"}
	if o := ask("operator.token", bench...); o.code != exitOK {
		t.Errorf("bench: %+v", o)
	}
	refused("forbidden", ask("shop.token", bench...))
	if o := ask("operator.token", "verify", "--messages=30", "--max-timeout=1ms"); o.code != exitOK {
		t.Errorf("verify: %+v", o)
	}
	if o := ask("", "health"); o.stdout != "ready\n" {
		t.Errorf("health: %+v", o)
	}
	if o := ask("operator.token", "topics", "create", "invoices"); o.code != exitOK {
		t.Errorf("create a topic: %+v", o)
	}
	if o := ask("shop.token", "topics", "list"); o.stdout != "orders.eu\n" {
		t.Errorf("what the token may see: %+v", o)
	}

	for _, life := range []string{"0d", "-1d", "36501d", "213504d", "90", "x"} {
		o := ask("operator.token", "tokens", "create", "--name=shop", "--scope=consume:*", "--expires="+life)
		if o.code != exitUsage || o.stdout != "" {
			t.Errorf("--expires=%s: %+v", life, o)
		}
	}

	list := ask("operator.token", "tokens", "list", "--json")
	var ids []string
	for line := range strings.Lines(list.stdout) {
		var entry tokenLine
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if entry.Name == "shop" {
			ids = append(ids, entry.TokenID)
			if left := time.Until(*entry.ExpiresAt); left < 89*24*time.Hour || left > 90*24*time.Hour {
				t.Errorf("it ends in %s", left)
			}
		}
	}
	if len(ids) != 1 {
		t.Fatalf("listed: %s", list.stdout)
	}
	if o := ask("operator.token", "tokens", "revoke", secrets[1]); o.code != exitUsage || strings.Contains(o.stderr, secrets[1]) {
		t.Errorf("the secret in place of the id: %+v", o)
	}
	refused("no token has the id NONE", ask("operator.token", "tokens", "revoke", "NONE"))
	if o := ask("operator.token", "tokens", "revoke", ids[0]); o.code != exitOK {
		t.Errorf("revoke: %+v", o)
	}
	refused("unauthorized", ask("shop.token", "topics", "list"))
	if table := ask("operator.token", "tokens", "list"); !strings.Contains(table.stdout, ids[0]) || strings.Contains(table.stdout, secrets[1]) {
		t.Errorf("the list: %+v", table)
	}
	if code := b.stop(); code != exitOK {
		t.Errorf("the broker ended with %d", code)
	}
	for _, secret := range secrets {
		if strings.Contains(b.stderr.String(), secret) || strings.Contains(b.line, secret) {
			t.Error("the broker has logged a token")
		}
	}

	// Without the last token, and without the flag, it does not open.
	for i, o := range []outcome{topiq(t, "", "tokens", "list", store, "--json")} {
		for line := range strings.Lines(o.stdout) {
			var entry tokenLine
			_ = json.Unmarshal([]byte(line), &entry)
			if o := topiq(t, "", "tokens", "revoke", store, entry.TokenID); o.code != exitOK {
				t.Errorf("%d: revoke %s: %+v", i, entry.TokenID, o)
			}
		}
	}
	closed := serveHere(t, store)
	if o := topiq(t, "", "topics", "list", "--url="+closed.url); !strings.Contains(o.stderr, "unauthorized") {
		t.Errorf("a store that has had tokens is open: %+v", o)
	}
	closed.stop()
	opened := serveHere(t, store, "--insecure-no-auth")
	if o := topiq(t, "", "topics", "list", "--url="+opened.url); o.code != exitOK {
		t.Errorf("with --insecure-no-auth: %+v", o)
	}
	if unsafe := infoOf(t, opened.url).Unsafe; len(unsafe) != 1 || !strings.Contains(unsafe[0], "insecure-no-auth") {
		t.Errorf("/info tells of %q", unsafe)
	}
}

// TestTokenFromTheEnvironment changes the environment, so it runs alone.
func TestTokenFromTheEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "topiq.db")
	token := strings.TrimSpace(mustTopiq(t, "", "tokens", "create", "--store=sqlite:"+file, "--name=n", "--scope=admin"))
	b := serveHere(t, "--store=sqlite:"+file, "--auth")
	t.Setenv(tokenVariable, token)
	mustTopiq(t, "", "topics", "list", "--url="+b.url)
	t.Setenv(tokenVariable, token+"\n"+token)
	if o := topiq(t, "", "topics", "list", "--url="+b.url); o.code == exitOK || strings.Contains(o.stderr, token) {
		t.Errorf("two tokens: %+v", o)
	}
}

func TestServeAccessFlags(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"give one of them":               {"--auth", "--insecure-no-auth"},
		"--tls-cert and --tls-key":       {"--tls-cert=x"},
		"--tls-client-ca needs":          {"--tls-client-ca=x"},
		"an origin is https://NAME":      {"--allow-origin=*"},
		"leaves the usual port":          {"--allow-origin=https://app.example.com:443"},
		"forgets its tokens":             {"--auth"},
		"--allow-origin http://a/: an o": {"--allow-origin=http://a/"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			o := topiq(t, "", append([]string{"serve", "--addr=127.0.0.1:0", "--store=memory:"}, args...)...)
			if o.code != exitUsage || !strings.Contains(o.stderr, want) {
				t.Errorf("exit code %d, stderr %q", o.code, o.stderr)
			}
			checkOneLine(t, o)
		})
	}
	o := topiq(t, "", "serve", "--addr=127.0.0.1:0", "--store=memory:", "--tls-cert=none.pem", "--tls-key=none.pem")
	if o.code != exitFailure || !strings.Contains(o.stderr, "none.pem") {
		t.Errorf("a certificate that is not there: %+v", o)
	}
}

// TestServeTLS is about what is below HTTP, and what must be seen of HTTP above it.
func TestServeTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	authority := newAuthority(t)
	server, client := authority.write(t, dir, "server"), authority.write(t, dir, "client")
	ca := filepath.Join(dir, "ca.pem")
	writeFile(t, ca, authority.text)
	b := serveHere(t, "--store=memory:", "--tls-cert="+server.cert, "--tls-key="+server.key, "--tls-client-ca="+ca)
	mustTopiq(t, "", "topics", "list", "--url="+b.url, "--ca-file="+ca, "--client-cert="+client.cert, "--client-key="+client.key)
	if o := topiq(t, "", "topics", "list", "--url="+b.url, "--ca-file="+ca); o.code != exitFailure {
		t.Errorf("without a certificate: %+v", o)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(authority.text))
	pair, err := tls.LoadX509KeyPair(client.cert, client.key)
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(b.url, "https://")
	dial := func(protocols ...string) (*tls.Conn, error) {
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, NextProtos: protocols}}
		conn, err := dialer.DialContext(t.Context(), "tcp", host)
		if err != nil {
			return nil, err
		}
		secured, _ := conn.(*tls.Conn)
		return secured, nil
	}
	// HTTP/2 is not offered, alone or beside HTTP/1.1.
	if conn, err := dial("h2"); err == nil {
		_ = conn.Close()
		t.Error("HTTP/2 is spoken")
	}
	conn, err := dial("h2", "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if got := conn.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("the protocol is %q", got)
	}
	// A request that says in two ways where its body ends is found behind TLS too.
	_, _ = fmt.Fprintf(conn, "POST /topics HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 5\r\n"+
		"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", host)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if response.StatusCode != http.StatusBadRequest || !response.Close || !strings.Contains(string(text), "Transfer-Encoding") {
		t.Errorf("%d %s, close: %t", response.StatusCode, text, response.Close)
	}
	// Plain HTTP is told what is wrong.
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	text, _ = io.ReadAll(plain.Body)
	_ = plain.Body.Close()
	if plain.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "HTTPS server") {
		t.Errorf("plain HTTP: %d %s", plain.StatusCode, text)
	}
}

// TestCertificatesAreReadAgain: a new certificate is used after two seconds at most, and a broken one
// never.
func TestCertificatesAreReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	authority := newAuthority(t)
	pair := authority.write(t, dir, "server")
	now := time.Unix(1_000_000, 0)
	var log lockedBuffer
	c := &certificates{
		files: tlsFlags{Cert: pair.cert, Key: pair.key}, now: func() time.Time { return now },
		log: (&serveCommand{}).logger(streams{err: &log}),
	}
	if err := c.load(c.stamp()); err != nil {
		t.Fatal(err)
	}
	used := func() string {
		t.Helper()
		config, err := c.config(nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(config.Certificates[0].Certificate[0])
	}
	older := func(file string) { // as if it had been written at another time
		at := now.Add(-time.Hour)
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	first := used()
	authority.write(t, dir, "server")
	older(pair.cert)
	if used() != first {
		t.Error("the files are looked at by every handshake")
	}
	now = now.Add(certificateInterval)
	second := used()
	if second == first {
		t.Error("the new certificate is not used")
	}
	key, err := os.ReadFile(pair.key)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, pair.key, "half a k")
	for range 3 {
		now = now.Add(certificateInterval)
		if used() != second {
			t.Error("the certificate before is not used while the key is broken")
		}
	}
	if n := strings.Count(log.String(), "cannot be read again"); n != 1 {
		t.Errorf("the log tells of it %d times:\n%s", n, log.String())
	}
	if strings.Contains(log.String(), "PRIVATE") {
		t.Error("the log has a key")
	}
	writeFile(t, pair.key, string(key))
	now = now.Add(certificateInterval)
	if used() != second || c.failed != "" {
		t.Errorf("after it was mended: %s", c.failed)
	}
}
