//go:build root

package faultfs_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/topiq/topiq/torture/faultfs"
)

func mount(t *testing.T) (*faultfs.FS, string) {
	t.Helper()
	backing, point := t.TempDir(), t.TempDir()
	f, err := faultfs.Mount(backing, point)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Unmount(); err != nil {
			t.Error(err)
		}
	})
	return f, backing
}

// Without rules everything is passed through, with its bytes, mode and owner.
func TestWithoutRulesItPassesThrough(t *testing.T) {
	t.Parallel()
	f, backing := mount(t)
	file, err := os.OpenFile(f.Path("a"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("content"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.Sync(), file.Truncate(4), file.Close(), os.Rename(f.Path("a"), f.Path("b"))); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(backing, "b"))
	if err != nil || string(content) != "cont" {
		t.Errorf("below lies %q, %v", content, err)
	}
	dir, err := os.Open(f.Path())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		t.Errorf("syncing a directory: %v", err)
	}
}

// Every hook fires, for the files it names, and no longer than it is set.
func TestEveryHookFires(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		call  faultfs.Call
		errno syscall.Errno
		do    func(f *os.File) error
	}{
		"fsync":     {faultfs.Fsync, syscall.EIO, func(f *os.File) error { return f.Sync() }},
		"fdatasync": {faultfs.Fsync, syscall.EIO, func(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }},
		"write": {faultfs.Write, syscall.ENOSPC, func(f *os.File) error {
			_, err := f.WriteAt([]byte("x"), 0)
			return err
		}},
		"fallocate": {faultfs.Write, syscall.ENOSPC, func(f *os.File) error {
			return syscall.Fallocate(int(f.Fd()), 0, 0, 1<<16)
		}},
		"read": {faultfs.Read, syscall.EIO, func(f *os.File) error {
			// Opening it anew makes the kernel forget the pages.
			again, err := os.Open(f.Name())
			if err != nil {
				return err
			}
			_, err = again.Read(make([]byte, 10))
			return errors.Join(err, again.Close())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, _ := mount(t)
			files := map[string]*os.File{}
			for _, name := range []string{"hit.db", "other"} {
				file, err := os.Create(f.Path(name))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = file.Close() }()
				if _, err := file.WriteString(strings.Repeat("content", 1000)); err != nil {
					t.Fatal(err)
				}
				files[name] = file
			}
			rule := f.Set(&faultfs.Rule{
				Call: test.call, Errno: test.errno,
				Match: func(path string) bool { return strings.HasSuffix(path, ".db") },
			})
			if err := test.do(files["hit.db"]); !errors.Is(err, test.errno) {
				t.Errorf("with the rule: %v, want %v", err, test.errno)
			}
			if rule.Fired() == 0 {
				t.Error("the rule has not fired")
			}
			fired := rule.Fired()
			if err := test.do(files["other"]); err != nil {
				t.Errorf("a file that the rule does not name: %v", err)
			}
			if rule.Fired() != fired {
				t.Error("the rule has fired for a file that it does not name")
			}
			f.Unset(rule)
			always := f.Set(&faultfs.Rule{Call: test.call, Errno: test.errno})
			if err := test.do(files["other"]); !errors.Is(err, test.errno) {
				t.Errorf("with a rule for all files: %v", err)
			}
			f.Unset(always)
			if err := test.do(files["other"]); err != nil {
				t.Errorf("without the rule: %v", err)
			}
		})
	}
}

// A rule that fires so many times lets everything through afterwards. (A failed read is tried twice by the kernel, so that
// only calls which are not repeated can be counted exactly.)
func TestRuleFiresSoManyTimes(t *testing.T) {
	t.Parallel()
	f, _ := mount(t)
	file, err := os.Create(f.Path("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	rule := f.Set(&faultfs.Rule{Call: faultfs.Fsync, Errno: syscall.EIO, Times: 2})
	for range 2 {
		if err := file.Sync(); !errors.Is(err, syscall.EIO) {
			t.Errorf("with the rule: %v", err)
		}
	}
	if err := file.Sync(); err != nil || rule.Fired() != 2 {
		t.Errorf("the third time: %v; the rule has fired %d times", err, rule.Fired())
	}
}

// A delay is waited for, by the call that meets it.
func TestDelayedFsync(t *testing.T) {
	t.Parallel()
	f, _ := mount(t)
	file, err := os.Create(f.Path("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	rule := f.Set(&faultfs.Rule{Call: faultfs.Fsync, Delay: 300 * time.Millisecond})
	begin := time.Now()
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < rule.Delay || rule.Fired() != 1 {
		t.Errorf("it took %s, and the rule has fired %d times", took, rule.Fired())
	}
}

// SQLite meets the errors: the trap that made a hook look right and never fire was found with it.
func TestSQLiteMeetsTheErrors(t *testing.T) {
	t.Parallel()
	for call, errno := range map[faultfs.Call]syscall.Errno{faultfs.Write: syscall.ENOSPC, faultfs.Fsync: syscall.EIO} {
		t.Run(string(call), func(t *testing.T) {
			t.Parallel()
			f, _ := mount(t)
			db, err := sql.Open("sqlite", "file:"+f.Path("x.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			db.SetMaxOpenConns(1)
			if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (x); INSERT INTO t VALUES (1)"); err != nil {
				t.Fatal(err)
			}
			rule := f.Set(&faultfs.Rule{Call: call, Errno: errno, Match: func(p string) bool { return strings.HasSuffix(p, "-wal") }})
			if _, err := db.ExecContext(t.Context(), "INSERT INTO t VALUES (2)"); err == nil {
				t.Error("SQLite inserted happily")
			}
			if rule.Fired() == 0 {
				t.Error("the rule has never fired")
			}
		})
	}
}
