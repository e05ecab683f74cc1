package api_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// rawTimeout is far beyond what any answer of a test takes.
const rawTimeout = 20 * time.Second

// rawAnswer is the first answer on a connection; its status is 0 when the connection was closed
// without one.
type rawAnswer struct {
	status int
	text   string
	header http.Header
	closed bool // the connection is not used again
	// went says that there was a 100 Continue before.
	went bool
}

// raw sends text as it is, over a connection of its own. %HOST% stands for the address of the
// broker.
func (w *world) raw(text string) rawAnswer {
	w.tb.Helper()
	return rawCall(w.tb, w.URL, text, false)
}

// rawCall is raw. hangUp closes the sending half of the connection after the text.
func rawCall(tb testing.TB, url, text string, hangUp bool) rawAnswer {
	tb.Helper()
	host := strings.TrimPrefix(url, "http://")
	var dialer net.Dialer
	connection, err := dialer.DialContext(tb.Context(), "tcp", host)
	if err != nil {
		tb.Fatal(err)
	}
	_ = connection.SetDeadline(time.Now().Add(rawTimeout))
	written := make(chan struct{})
	go func() {
		defer close(written)
		// The broker may answer and close before it has read all.
		_, _ = io.WriteString(connection, strings.ReplaceAll(text, "%HOST%", host))
		if half, ok := connection.(*net.TCPConn); ok && hangUp {
			_ = half.CloseWrite()
		}
	}()
	defer func() {
		_ = connection.Close()
		<-written
	}()
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, nil)
	went := false
	for err == nil && response.StatusCode == http.StatusContinue {
		went = true
		response, err = http.ReadResponse(reader, nil)
	}
	if err != nil {
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			tb.Fatalf("no answer to %.200q", text)
		}
		return rawAnswer{closed: true}
	}
	defer func() { _ = response.Body.Close() }()
	// The answers of net/http itself end with the connection, which may be reset by then, for not
	// all that was sent is read.
	content, _ := io.ReadAll(response.Body)
	return rawAnswer{response.StatusCode, string(content), response.Header, response.Close, went}
}
