package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the database of the program

	"github.com/topiq/topiq/client"
)

// asEffects is set in the environment of a test binary that is to be a program which has an effect for each message,
// and keeps its position beside them. Its arguments are the broker and the program's own database.
const asEffects = "TOPIQ_TEST_AS_EFFECTS"

const effectsSchema = `
	CREATE TABLE IF NOT EXISTS effects (number INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL);
	CREATE TABLE IF NOT EXISTS position (topic TEXT PRIMARY KEY, next INTEGER NOT NULL, incarnation TEXT NOT NULL)`

// effects is that program. It ends when it has had no message for a while.
func effects(ctx context.Context, url, file string) error {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(30000)")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(ctx, effectsSchema); err != nil {
		return err
	}
	start := client.Position{}
	err = db.QueryRowContext(ctx, "SELECT next, incarnation FROM position WHERE topic = 't'").Scan(&start.Offset, &start.Incarnation)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	c, err := client.New(url)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	s, err := c.Consumer(ctx, []string{"t"}, client.Name("effects"),
		client.Offsets(map[string]client.Position{"t": start}), client.Timeout(500*time.Millisecond))
	if err != nil {
		return err
	}
	for m, err := range s.Messages(ctx) {
		if err != nil {
			return err
		}
		position, _ := s.Position("t")
		if err := effect(ctx, db, m, position.Incarnation); err != nil {
			return err
		}
	}
	return s.Close(ctx)
}

// effect does the effect of a message and moves the position, both or neither.
func effect(ctx context.Context, db *sql.DB, m client.Message, incarnation string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing, once it is committed
	if _, err := tx.ExecContext(ctx, "INSERT INTO effects (text) VALUES (?)", string(m.Value)); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO position VALUES ('t', ?, ?)", m.Offset+1, incarnation)
	if err != nil {
		return err
	}
	return tx.Commit()
}

// TestEffectsExactlyOnce kills a program again and again that stores its position in the transaction of the effect.
// The broker has committed positions of it too, ahead of the effects or behind; the program's own one counts.
func TestEffectsExactlyOnce(t *testing.T) {
	t.Parallel()
	const lines = 600
	path, content := numbered(t, lines)
	b := serve(t, "memory:")
	mustTopiq(t, "", "produce", "t", path, "--url="+b.url)
	file := filepath.Join(t.TempDir(), "effects.db")
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(30000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	done := func() (n int64) {
		// Until there is a table, nothing is done; while the program writes, the next look tells.
		_ = db.QueryRowContext(t.Context(), "SELECT count(*) FROM effects").Scan(&n)
		return n
	}
	kills := 0
	for ; kills < 8 && done() < lines*3/4; kills++ {
		p := startAs(t, asEffects, b.url, file)
		look := time.NewTicker(2 * time.Millisecond)
		for begin := done(); done() < begin+lines/12; {
			select {
			case <-look.C:
			case <-p.ended:
				t.Fatalf("it ended: %s", p.stderr.String())
			}
		}
		look.Stop()
		p.kill()
	}
	if p := startAs(t, asEffects, b.url, file); p.wait(t) != exitOK {
		t.Fatal(p.stderr.String())
	}
	rows, err := db.QueryContext(t.Context(), "SELECT text FROM effects ORDER BY number")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var got strings.Builder
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		got.WriteString(text + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	t.Logf("killed it %d times", kills)
	checkSame(t, got.String(), content)
}

// runEffects is the process of that program.
func runEffects() {
	if err := effects(context.Background(), os.Args[1], os.Args[2]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFailure)
	}
	os.Exit(exitOK)
}
