//go:build unix

package sqlite

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nobody is a user without rights.
const nobody = 65534

// asNobody is a child that permissions hold for: not root, whom none stops.
func asNobody(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if os.Geteuid() == 0 {
		cmd.Path = "/proc/self/exe" // the binary itself may be in a directory of root's
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
}

// TestReadOnlyStoreIsRefused: a file that cannot be written, or a directory in which SQLite can make no WAL.
func TestReadOnlyStoreIsRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(dir, path string) error{
		"file":      func(_, path string) error { return os.Chmod(path, 0o400) },
		"directory": func(dir, _ string) error { return os.Chmod(dir, 0o500) },
		"hidden":    func(dir, _ string) error { return os.Chmod(dir, 0o000) },
		"lock":      func(_, path string) error { return os.Chmod(path+".lock", 0o000) },
		"unchanged": func(string, string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := wholeStore(t, 3, 100)
			dir, err := os.MkdirTemp("/tmp", "topiq-readonly") //nolint:usetesting // others must be able to enter it
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = os.Chmod(dir, 0o700) //nolint:gosec // it has to be entered
				_ = os.RemoveAll(dir)
			})
			path := filepath.Join(dir, "topiq.db")
			content, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			for file, content := range map[string][]byte{path: content, path + ".lock": nil} {
				if err := os.WriteFile(file, content, 0o600); err != nil {
					t.Fatal(err)
				}
				if os.Geteuid() == 0 {
					if err := os.Chown(file, nobody, nobody); err != nil {
						t.Fatal(err)
					}
				}
			}
			if os.Geteuid() == 0 {
				if err := os.Chown(dir, nobody, nobody); err != nil {
					t.Fatal(err)
				}
			}
			if err := change(dir, path); err != nil {
				t.Fatal(err)
			}
			cmd := child(t.Context(), "open", path)
			asNobody(t, cmd)
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			want := "refused: sqlite: "
			if name == "unchanged" {
				want = "opened"
			}
			if got := string(out); !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 1 {
				t.Errorf("got %q, want %s…", got, want)
			}
			t.Logf("%s", out)
		})
	}
}
