package pgtest

import (
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// errNoPrograms says what to do. It is the whole failure message of a test.
var errNoPrograms = errors.New("no PostgreSQL server to test with: run `make test`, which installs one on Debian as root, " +
	"or put initdb and postgres (version 13 or later) on PATH, or set " + EnvURL)

// programs are the executables of a PostgreSQL installation that we run. The
// last one is needed for standbys only.
type programs struct {
	initdb   string
	postgres string
	backup   string
}

// findPrograms prefers what is on PATH, so that whoever runs the tests can
// choose a version, and then takes the newest installation it finds.
func findPrograms() (programs, error) {
	if initdb, err := exec.LookPath("initdb"); err == nil {
		// A link may lead to a directory that has the server as well.
		if target, err := filepath.EvalSymlinks(initdb); err == nil {
			initdb = target
		}
		if p, ok := programsIn(filepath.Dir(initdb)); ok {
			return p, nil
		}
	}
	for _, dir := range installations() {
		if p, ok := programsIn(dir); ok {
			return p, nil
		}
	}
	return programs{}, errNoPrograms
}

// installations lists directories in which systems that keep the server's
// programs off PATH have them, newest version first. install.sh looks in the
// same places.
func installations() []string {
	var dirs []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",                      // Debian, Ubuntu.
		"/usr/pgsql-*/bin",                               // Fedora, Red Hat.
		"/usr/libexec/postgresql*",                       // Alpine.
		"/opt/homebrew/opt/postgresql*/bin",              // Homebrew on Apple silicon.
		"/usr/local/opt/postgresql*/bin",                 // Homebrew on Intel.
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin", // Homebrew on Linux.
	} {
		matches, _ := filepath.Glob(pattern)
		dirs = append(dirs, matches...)
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	return dirs
}

// version finds the major version in the path of an installation, 0 if none.
func version(dir string) int {
	digits := strings.FieldsFunc(dir, func(r rune) bool { return r < '0' || r > '9' })
	for _, d := range digits {
		if n, err := strconv.Atoi(d); err == nil {
			return n
		}
	}
	return 0
}

func programsIn(dir string) (programs, bool) {
	p := programs{
		initdb: filepath.Join(dir, "initdb"), postgres: filepath.Join(dir, "postgres"),
		backup: filepath.Join(dir, "pg_basebackup"),
	}
	return p, executable(p.initdb) && executable(p.postgres)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
