package postgres

import (
	"context"
	"net"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// maxDials is how many connections one broker may be opening at a time.
const maxDials = 4

// dials bounds the connections that are being opened, from the dial until the server has let us in. When
// a server comes back, every call wants a connection at once, and the server forks a process for each.
// On a machine without time to spare all of them then take longer than connectTimeout together, all are
// given up, and all begin anew: the broker stays out for as long as the load lasts. A few at a time get
// through, and each that did serves calls while the others wait.
type dials chan struct{}

// limit prepares the configuration of one connection.
func (d dials) limit(config *pgx.ConnConfig) {
	dial, let := config.DialFunc, config.AfterConnect
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		select {
		case d <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		conn, err := dial(ctx, network, address)
		if err != nil {
			<-d
			return nil, err
		}
		return &opening{Conn: conn, done: sync.OnceFunc(func() { <-d })}, nil
	}
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		opened := conn.Conn()
		if encrypted, ok := opened.(interface{ NetConn() net.Conn }); ok {
			opened = encrypted.NetConn()
		}
		if o, ok := opened.(*opening); ok {
			o.done()
		}
		return let(ctx, conn)
	}
}

// opening is a connection that counts as being opened until it is open, or closed.
type opening struct {
	net.Conn

	done func()
}

// Close implements net.Conn.
func (o *opening) Close() error {
	o.done()
	return o.Conn.Close()
}
