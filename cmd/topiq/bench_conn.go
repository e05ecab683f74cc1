package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"
)

// benchTimeout is how long a connection waits for an answer before it is given up. A broker that has
// lost its database tries for 40 seconds to find out what became of a commit.
const benchTimeout = time.Minute

// maxAnswer bounds the body of an answer: the broker's own bound of payloads, as they are encoded.
const maxAnswer = 64 << 20

// benchConn is one connection for requests one after another. The load comes from the same machine as
// a rule, so what a request costs here is taken from the broker: the client of net/http, with two
// goroutines for each connection, costs as much as the handler it calls. The first request dials, and so does the
// first after a failure. It is of one goroutine.
type benchConn struct {
	host   string // as dialled, and as the header says
	secure bool
	access benchAccess

	conn   net.Conn
	in     *bufio.Reader
	body   []byte
	until  time.Time   // deadline that was set last
	closer func() bool // stops what closes conn when the context ends
}

// benchAccess is what a connection needs to get in.
type benchAccess struct {
	token string      // "" for none
	tls   *tls.Config // nil for what the system trusts
}

func newBenchConn(address string) (*benchConn, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || (u.Path != "" && u.Path != "/") {
		return nil, &usageError{fmt.Errorf("%q is not the address of a broker, such as %s", address, defaultURL)}
	}
	return &benchConn{host: u.Host, secure: u.Scheme == "https"}, nil
}

// exchange sends a whole request and returns the answer, whose body is valid until the next exchange.
// After an error nobody knows what became of the request.
func (c *benchConn) exchange(ctx context.Context, request []byte) (status int, body []byte, err error) {
	if c.conn == nil {
		if err := c.dial(ctx); err != nil {
			return 0, nil, err
		}
	}
	// Setting a deadline costs something, so it is done once a second.
	if now := time.Now(); now.Add(benchTimeout).Sub(c.until) > time.Second {
		c.until = now.Add(benchTimeout)
		_ = c.conn.SetDeadline(c.until) // a connection that is closed says so below
	}
	if _, err = c.conn.Write(request); err == nil {
		status, err = c.receive()
	}
	if err != nil {
		c.close()
		return 0, nil, err
	}
	return status, c.body, nil
}

// stream sends a whole request and returns the body of the answer as it comes, if it is a success. Until the connection is closed
// nothing else may be asked on it.
func (c *benchConn) stream(ctx context.Context, request []byte) (body io.Reader, err error) {
	c.close()
	if err := c.dial(ctx); err != nil {
		return nil, err
	}
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	head, err := c.receiveHead()
	switch {
	case err != nil:
		return nil, err
	case head.status != http.StatusOK:
		if err := c.receiveBody(head); err != nil {
			return nil, err
		}
		return nil, succeeded(head.status, c.body)
	case head.chunked:
		return httputil.NewChunkedReader(c.in), nil
	default:
		return c.in, nil
	}
}

func (c *benchConn) dial(ctx context.Context) error {
	address := c.host
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(address, map[bool]string{false: "80", true: "443"}[c.secure])
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	var err error
	if c.secure {
		c.conn, err = (&tls.Dialer{NetDialer: dialer, Config: c.access.tls}).DialContext(ctx, "tcp", address)
	} else {
		c.conn, err = dialer.DialContext(ctx, "tcp", address)
	}
	if err != nil {
		c.conn = nil // not an interface that holds nil
		return err
	}
	conn := c.conn
	c.closer = context.AfterFunc(ctx, func() { _ = conn.Close() })
	c.in, c.until = bufio.NewReaderSize(c.conn, 16<<10), time.Time{}
	return nil
}

// close ends the connection; the next exchange dials again.
func (c *benchConn) close() {
	if c.conn != nil {
		c.closer()
		_ = c.conn.Close()
		c.conn = nil
	}
}

// answerHead is what stands before the body of an answer.
type answerHead struct {
	status, length   int // the length of the body, −1 if that is not told
	chunked, closing bool
}

// receive reads an answer into c.body.
func (c *benchConn) receive() (status int, err error) {
	head, err := c.receiveHead()
	if err != nil {
		return 0, err
	}
	if err := c.receiveBody(head); err != nil {
		return 0, err
	}
	if head.closing {
		c.close()
	}
	return head.status, nil
}

func (c *benchConn) receiveHead() (head answerHead, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return head, err
	}
	version, rest, _ := bytes.Cut(line, []byte(" "))
	if !bytes.HasPrefix(version, []byte("HTTP/1.")) || len(rest) < 3 {
		return head, errors.New("what answers does not speak HTTP/1.1")
	}
	head.length = -1
	if head.status, err = strconv.Atoi(string(rest[:3])); err != nil {
		return head, errors.New("an answer without a status")
	}
	for {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return head, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return head, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if head.length, err = strconv.Atoi(string(value)); err != nil || head.length < 0 {
				return head, errors.New("an answer with a malformed Content-Length")
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			head.chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("Connection")):
			head.closing = bytes.EqualFold(value, []byte("close"))
		}
	}
}

func (c *benchConn) receiveBody(head answerHead) error {
	if head.chunked { // a proxy does that
		body, err := io.ReadAll(io.LimitReader(httputil.NewChunkedReader(c.in), maxAnswer))
		if err == nil {
			c.body = body
			_, err = c.in.Discard(len("\r\n")) // after the last chunk
		}
		return err
	}
	if head.length < 0 || head.length > maxAnswer {
		return fmt.Errorf("an answer of %d bytes", head.length)
	}
	if cap(c.body) < head.length {
		c.body = make([]byte, head.length+head.length/8)
	}
	c.body = c.body[:head.length]
	_, err := io.ReadFull(c.in, c.body)
	return err
}
