package pgbare

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Positions is a copy of the table of consumers, with its indexes and its durability, and a connection that moves them. It
// is of one goroutine.
type Positions struct {
	table   *Table
	conn    *pgx.Conn
	ids     []int64
	advance string
}

// CreatePositions makes the table, in the database of a broker, with n consumers.
func CreatePositions(ctx context.Context, url, name string, n int) (*Positions, error) {
	p := &Positions{table: &Table{url: url, name: name}}
	for i := range n {
		p.ids = append(p.ids, int64(i))
	}
	table := p.table.quoted()
	p.advance = "UPDATE " + table + ` SET "offset" = "offset" + 1, last_seen = $2 WHERE bucket = 0 AND consumer_id = ANY ($1)`
	if err := p.table.exec(ctx, "CREATE TABLE "+table+" (LIKE consumers INCLUDING ALL) WITH (fillfactor = 50)"); err != nil {
		return nil, err
	}
	var err error
	if p.conn, err = pgx.Connect(ctx, url); err != nil {
		return nil, errors.Join(err, p.table.Drop(ctx))
	}
	_, err = p.conn.Exec(ctx, "INSERT INTO "+table+` (bucket, consumer_id, topic_id, "offset", last_seen)
		SELECT 0, k.id, 1, 0, now() FROM unnest($1::bigint[]) AS k (id)`, p.ids)
	if err != nil {
		return nil, errors.Join(err, p.Drop(ctx))
	}
	return p, nil
}

// Advance moves n consumers by one, or all if there are fewer, and commits that.
func (p *Positions) Advance(ctx context.Context, n int) error {
	n = min(n, len(p.ids))
	tag, err := p.conn.Exec(ctx, p.advance, p.ids[:n], time.Now())
	if err == nil && tag.RowsAffected() != int64(n) {
		err = fmt.Errorf("%d consumers of %d were moved", tag.RowsAffected(), n)
	}
	return err
}

// Drop closes the connection and takes the table away.
func (p *Positions) Drop(ctx context.Context) error {
	return errors.Join(p.conn.Close(ctx), p.table.Drop(ctx))
}
