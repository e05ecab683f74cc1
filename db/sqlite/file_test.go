package sqlite

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// refused opens a file that must be refused, with a message that has the words given.
func refused(t *testing.T, path string, words ...string) {
	t.Helper()
	s, err := Open(t.Context(), path, Config{})
	if err == nil {
		closed(t, s)
		t.Fatalf("%s was opened", path)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the message %q does not say %q", err, word)
		}
	}
}

func TestSecondBrokerIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "topiq.db")
	first, err := Open(t.Context(), path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link.db")
	if err := os.Symlink("topiq.db", link); err != nil {
		t.Fatal(err)
	}
	linkedDir := filepath.Join(t.TempDir(), "there")
	if err := os.Symlink(dir, linkedDir); err != nil {
		t.Fatal(err)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(wd, path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, link, filepath.Join(linkedDir, "topiq.db"), relative} {
		refused(t, name, "in use", path)
	}
	closed(t, first)
	closed(t, opened(t, link))
}

func TestHardLinkIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	closed(t, opened(t, path))
	if err := os.Link(path, path+"2"); err != nil {
		t.Fatal(err)
	}
	refused(t, path+"2", "2 names")
}

func TestFileThatIsNoStoreIsRefusedAndLeftAsItIs(t *testing.T) {
	t.Parallel()
	whole := filepath.Join(t.TempDir(), "topiq.db")
	s := opened(t, whole)
	l, err := newLog(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.send(t.Context(), 0, 200, 1000); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	store, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(store)
	clear(damaged[100:8192])

	for name, file := range map[string]struct {
		content []byte
		says    string
	}{
		"empty":             {nil, "not an SQLite database"},
		"text":              {[]byte("this is not a database, but longer than its header would be"), "not an SQLite database"},
		"header only":       {store[:50], "damaged or truncated"},
		"one page":          {store[:4096], "damaged or truncated"},
		"half":              {store[:len(store)/2], "damaged or truncated"},
		"without last page": {store[:len(store)-4096], "damaged or truncated"},
		"no schema":         {damaged, "damaged or truncated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "topiq.db")
			if err := os.WriteFile(path, file.content, 0o600); err != nil {
				t.Fatal(err)
			}
			refused(t, path, path, file.says)
			left, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(left, file.content) {
				t.Errorf("the file was changed (%d bytes, were %d), %v", len(left), len(file.content), err)
			}
		})
	}
}

func TestDatabaseOfAnotherProgramIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "other.db")
	execOn(t, path, "CREATE TABLE topics (name TEXT)")
	refused(t, path, path, "another program")
}

func TestNewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	closed(t, opened(t, path))
	execOn(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)")
	refused(t, path, path, "newer version", "99999")
}

func TestWALWithoutItsFileIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	if err := os.WriteFile(path+"-wal", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, path, path+"-wal is there")
}

func TestLinkThatLeadsNowhereIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	if err := os.Symlink("missing", path); err != nil {
		t.Fatal(err)
	}
	refused(t, path, "leads nowhere")
}

func TestMissingDirectoriesAreMade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	opened(t, filepath.Join(link, "a", "b?c#d %41", "topiq.db"))
	if _, err := os.Stat(filepath.Join(dir, "a", "b?c#d %41", "topiq.db")); err != nil {
		t.Error(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, filepath.Join(file, "topiq.db"), file)
}

func TestLeftoversOfAnUnfinishedStoreAreReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	for _, suffix := range []string{".new", ".new-wal"} {
		if err := os.WriteFile(path+suffix, []byte("half of it"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opened(t, path)
}

func TestStoreThatStillHasItsFirstNameIsOpened(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	closed(t, opened(t, path))
	if err := os.Link(path, path+newSuffix); err != nil {
		t.Fatal(err)
	}
	closed(t, opened(t, path))
	if _, err := os.Lstat(path + newSuffix); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the first name is still there: %v", err)
	}
}

// TestNewStoreReplacesNothing: what came to have the name while the store was made stays as it is.
func TestNewStoreReplacesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "topiq.db")
	if err := os.WriteFile(path, []byte("another's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := create(t.Context(), path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create: got %v, want that the file exists", err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "another's" {
		t.Errorf("the file has %q, %v", content, err)
	}
}

func TestSettingsAreReadBack(t *testing.T) {
	t.Parallel()
	for _, broken := range []setting{
		{"journal_mode", "DELETE", "wal"},
		{"synchronous", "NORMAL", "2"},
		{"query_only", "0", "1"},
	} {
		db, err := handle(filepath.Join(t.TempDir(), "topiq.db"), "rwc", []setting{broken})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := check(t.Context(), conn, []setting{broken}); err == nil || !strings.Contains(err.Error(), broken.name) {
			t.Errorf("%s=%s: got %v, want an error that names it", broken.name, broken.value, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestReadersCannotWrite(t *testing.T) {
	t.Parallel()
	s := opened(t, filepath.Join(t.TempDir(), "topiq.db"))
	if _, err := s.pool.ExecContext(t.Context(), "DELETE FROM counters"); err == nil {
		t.Error("a connection of the readers has written")
	}
}

// execOn runs a statement on a file behind the store's back.
func execOn(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", statement, err))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
