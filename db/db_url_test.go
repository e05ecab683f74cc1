package db_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/topiq/topiq/db"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"memory:":                               "memory:",
		"sqlite:topiq.db":                       "sqlite:topiq.db",
		"sqlite:/var/lib/topiq/a@b.db":          "sqlite:/var/lib/topiq/a@b.db",
		"user:pw@tcp(host)/db":                  "xxxxx@tcp(host)/db",
		"host=h password=pw":                    "xxxxx",
		"postgres://host/db":                    "postgres://host/db",
		"postgres://user@host/db":               "postgres://user@host/db",
		"postgres://user:pw@host:5432/db":       "postgres://user:xxxxx@host:5432/db",
		"postgresql://user:@h1:1,h2:2/db":       "postgresql://user:xxxxx@h1:1,h2:2/db",
		"postgres://:pw@host/db":                "postgres://:xxxxx@host/db",
		"postgres:///db?host=/tmp&password=pw":  "postgres:///db?host=/tmp&password=xxxxx",
		"postgres:///db?PassWord=pw&user=u":     "postgres:///db?PassWord=xxxxx&user=u",
		"postgres:///db?%70assword=pw":          "postgres:///db?%70assword=xxxxx",
		"postgres:///db?sslpassword=pw":         "postgres:///db?sslpassword=xxxxx",
		"mysql://user:pw@host/db":               "mysql://user:xxxxx@host/db",
		"postgres://user:p@w@host/db":           "postgres://user:xxxxx@host/db",
		"postgres://user:p/w@host/db":           "postgres://user:xxxxx@host/db",
		"postgres://user:p#w@host/db":           "postgres://user:xxxxx@host/db",
		"postgres://user:p?w@host/db":           "postgres://xxxxx@host/db",
		"postgres://user:p?w&x=y@host/db?a=b":   "postgres://xxxxx@host/db?a=b",
		"postgres://host/db?application_name=a": "postgres://host/db?application_name=a",
	} {
		if got := db.Redact(url); got != want {
			t.Errorf("Redact(%q) = %q, want %q", url, got, want)
		}
	}
}

// TestOpenRefusals checks that a refusal says what to write instead, and never shows a password.
func TestOpenRefusals(t *testing.T) {
	t.Parallel()
	const forms = "use memory: (everything is lost with the process), sqlite:FILE, or postgres://USER@HOST/DATABASE"
	for name, test := range map[string]struct {
		url    string
		config db.Config
		want   string
	}{
		"empty":                    {url: "", want: `"" is not a store: ` + forms},
		"a file without a scheme":  {url: "topiq.db", want: `"topiq.db" is not a store: ` + forms},
		"another database":         {url: "mysql://u:s3cret@h/d", want: `"mysql://u:xxxxx@h/d" is not a store: ` + forms},
		"another database's DSN":   {url: "u:s3cret@tcp(h)/d", want: forms},
		"a scheme alone":           {url: "postgres", want: forms},
		"memory with a name":       {url: "memory:x", want: "nothing may follow memory:"},
		"sqlite without a file":    {url: "sqlite:", want: "needs the name of a file"},
		"sqlite in memory":         {url: "sqlite::memory:", want: forms},
		"sqlite with slashes":      {url: "sqlite:///tmp/x", want: "write sqlite:/tmp/x for a file there, without //"},
		"replicated memory":        {url: "memory:", config: db.Config{Replicated: true}, want: "replicated is a setting of PostgreSQL"},
		"unsafe sqlite":            {url: "sqlite:x", config: db.Config{UnsafeDurability: true}, want: "unsafe-durability is a setting of PostgreSQL"},
		"sqlite with connections":  {url: "sqlite:x", config: db.Config{MaxConns: 1}, want: "max-conns is a setting of PostgreSQL"},
		"memory with lanes":        {url: "memory:", config: db.Config{Lanes: 1}, want: "lanes is a setting of PostgreSQL"},
		"a password with an @":     {url: "postgres://u:s3@cret@127.0.0.1:1/d", want: "write %40 for @, %2F for /"},
		"a password with a slash":  {url: "postgres://u:s3/cret@127.0.0.1:1/d", want: "write %40 for @, %2F for /"},
		"a port, then a slash":     {url: "postgres://u:1/s3cret@127.0.0.1:1/d", want: "write %40 for @, %2F for /"},
		"a password with a %":      {url: "postgres://u:s3%cret@127.0.0.1:1/d", want: "write %40 for @, %2F for /"},
		"nobody listens":           {url: "postgres://u:s3cret@127.0.0.1:1/d", want: "open the store postgres://u:xxxxx@127.0.0.1:1/d: "},
		"nobody listens, by query": {url: "postgresql://127.0.0.1:1/d?user=u&password=s3cret", want: "password=xxxxx: "},
		"an unknown sslmode":       {url: "postgres://u:s3cret@127.0.0.1:1/d?sslmode=s", want: "open the store postgres://u:xxxxx@"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, err := db.Open(t.Context(), test.url, test.config)
			if err == nil {
				_ = store.Close()
				t.Fatalf("Open(%q) succeeded", test.url)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open(%q): %q does not say %q", test.url, err, test.want)
			}
			if strings.Contains(err.Error(), "s3") || strings.Contains(err.Error(), "cret@") {
				t.Errorf("Open(%q) shows a password: %q", test.url, err)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	for engine, url := range map[string]string{
		"memory": "memory:",
		"sqlite": "SQLite:" + filepath.Join(t.TempDir(), "topiq.db"),
	} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			store, err := db.Open(t.Context(), url, db.Config{})
			if err != nil {
				t.Fatal(err)
			}
			if got := store.Properties().Engine; got != engine {
				t.Errorf("Open(%q) opened %q, want %q", url, got, engine)
			}
			if err := store.Ping(t.Context()); err != nil {
				t.Errorf("ping: %v", err)
			}
			if err := store.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}
