package postgres_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

// TestServersWithoutStorage: the server refuses the write for a reason of its disk. Nothing is acknowledged
// or stored, and the store goes on when the reason is gone.
func TestServersWithoutStorage(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]error{
		"53100": service.ErrStorageFull, // no room
		"58030": service.ErrUnavailable, // an I/O error
		"25006": service.ErrUnavailable, // read-only
		"XX001": service.ErrInternal,    // a damaged table
		"XX002": service.ErrInternal,    // a damaged index
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			// Postgres lets a trigger raise these as the server itself does.
			execute(t, p.url, fmt.Sprintf(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
				BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '%s'; END $$`, code))
			execute(t, p.url, `CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION refuse()`)
			for _, s := range p.stores {
				if result, err := one(t.Context(), s, p.request(0)); !errors.Is(err, want) || errors.Is(err, service.ErrBadData) {
					t.Errorf("Append: %+v, %v, want %v", result, err, want)
				}
			}
			execute(t, p.url, "DROP TRIGGER refuse ON messages")
			result, err := one(t.Context(), p.stores[0], p.request(0))
			if err != nil || result.Duplicate || result.Ranges[0].Offset != 0 {
				t.Errorf("Append afterwards: %+v, %v", result, err)
			}
		})
	}
}

// TestDamagedPage: the server finds a page of the table that it cannot read. The read is refused, and
// nothing is answered in its place.
func TestDamagedPage(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	p := newPairOn(t, cluster.URL())
	for seq := range int64(3) {
		if _, err := one(t.Context(), p.stores[0], p.request(seq)); err != nil {
			t.Fatal(err)
		}
	}
	file := relationFile(t, p.url)
	execute(t, p.url, "CHECKPOINT") // or the log would restore the page
	if err := errors.Join(cluster.Kill(), scribble(file), cluster.Restart()); err != nil {
		t.Fatal(err)
	}
	var messages []service.Message
	err := eventually(t, func() (err error) {
		messages, err = p.stores[0].Read(t.Context(), p.topic.ID, 0, 10, 1<<20)
		if errors.Is(err, service.ErrUnavailable) {
			return err // not connected yet
		}
		if errors.Is(err, service.ErrInternal) {
			return nil
		}
		return errors.Join(err, errors.New("want internal"))
	})
	if err != nil || len(messages) > 0 {
		t.Errorf("Read: %d messages, %v", len(messages), err)
	}
}

// relationFile is where the server keeps the messages.
func relationFile(t *testing.T, url string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	var directory, file string
	if err := conn.QueryRow(t.Context(), "SELECT current_setting('data_directory'), pg_relation_filepath('messages')").Scan(&directory, &file); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(directory, file)
}

// scribble overwrites the header of the first page.
func scribble(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte(strings.Repeat("\xa5", 24)), 0); err != nil {
		return err
	}
	return f.Close()
}
