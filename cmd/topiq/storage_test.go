package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/topiq/topiq/client"
)

// TestServeRefusesADamagedFile: what the user sees of each is one sentence that names the file and says
// what is wrong with it, and exit code 1. The file stays as it is, and no empty store takes its place.
func TestServeRefusesADamagedFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage func(path string) error
		says   string
	}{
		"empty":      {func(path string) error { return os.Truncate(path, 0) }, "not an SQLite database (0 bytes)"},
		"half":       {func(path string) error { return os.Truncate(path, 60_000) }, "damaged or truncated"},
		"text":       {func(path string) error { return os.WriteFile(path, []byte("Dear diary"), 0o600) }, "not an SQLite database"},
		"directory":  {func(path string) error { return replaceByDirectory(path) }, "not a regular file"},
		"no header":  {func(path string) error { return overwrite(path, 0, make([]byte, 100)) }, "not an SQLite database"},
		"no schema":  {func(path string) error { return overwrite(path, 100, make([]byte, 8000)) }, "damaged or truncated"},
		"strange":    {func(path string) error { return overwrite(path, 68, []byte{1, 2, 3, 4}) }, "another program"},
		"lost":       {func(path string) error { return loseFile(path) }, "-wal is there"},
		"broken WAL": {func(path string) error { return os.WriteFile(path+"-wal", []byte(strings.Repeat("x", 5000)), 0o600) }, "-wal is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "topiq.db")
			filled(t, "sqlite:"+path, "orders")
			if err := c.damage(path); err != nil {
				t.Fatal(err)
			}
			before := listing(t, path)
			p := start(t, "serve", "--addr=127.0.0.1:0", "--store=sqlite:"+path)
			stdout, _ := io.ReadAll(p.stdout)
			code, stderr := p.wait(t), p.stderr.String()
			if code != exitFailure || len(stdout) > 0 {
				t.Errorf("exit code %d, stdout %q", code, stdout)
			}
			if !strings.Contains(stderr, c.says) || !strings.Contains(stderr, path) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("stderr %q, want one line that says %q and names the file", stderr, c.says)
			}
			if after := listing(t, path); after != before {
				t.Errorf("the files were %s\nand are %s", before, after)
			}
		})
	}
}

func replaceByDirectory(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Mkdir(path, 0o700)
}

func loseFile(path string) error {
	if err := os.WriteFile(path+"-wal", []byte("x"), 0o600); err != nil {
		return err
	}
	return os.Remove(path)
}

func overwrite(path string, at int64, content []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(content, at); err != nil {
		return err
	}
	return f.Close()
}

// listing is what is in the files of a store.
func listing(t *testing.T, path string) string {
	t.Helper()
	var all strings.Builder
	for _, suffix := range []string{"", "-wal", ".new"} {
		content, err := os.ReadFile(path + suffix)
		if err != nil {
			content = []byte("(none)")
		}
		all.WriteString(suffix + ": " + string(content) + "\n")
	}
	return all.String()
}

// TestChangedMessageStopsItsTopic: a payload that is not what was stored is not answered. Its topic is
// stopped and the broker is not ready; other topics go on.
func TestChangedMessageStopsItsTopic(t *testing.T) {
	t.Parallel()
	for engine, newStore := range storedEngines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			url := newStore(t)
			filled(t, url, "changed", "whole")
			damage(t, url, dialect(url, `UPDATE messages SET payload = OTHER WHERE topic_id = TOPIC AND "offset" = 2`, "changed"))
			broker := serve(t, url)
			c, err := client.New(broker.url)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			if status := readiness(t, broker.url); status != http.StatusOK {
				t.Errorf("/readyz answers %d before anybody has met it", status)
			}
			if page, err := c.Read(t.Context(), "changed", client.ReadOptions{MaxMessages: 2}); err != nil || len(page.Messages) != 2 {
				t.Errorf("before it: %d messages, %v", len(page.Messages), err)
			}
			for range 2 {
				if o := topiq(t, "", "consume", "changed", "--url="+broker.url); o.code != exitFailure || strings.Contains(o.stdout, "withou") {
					t.Errorf("consume: exit code %d, stdout %q, stderr %q", o.code, o.stdout, o.stderr)
				}
			}
			if status := readiness(t, broker.url); status != http.StatusServiceUnavailable {
				t.Errorf("/readyz answers %d", status)
			}
			if o := topiq(t, "more\n", "produce", "changed", "--url="+broker.url); o.code != exitFailure {
				t.Errorf("produce: exit code %d, stderr %q", o.code, o.stderr)
			}
			if got := mustTopiq(t, "", "consume", "whole", "--url="+broker.url); got != "zero\none\nwithout\nthree\n" {
				t.Errorf("the other topic has %q", got)
			}
			if log := broker.stderr.String(); !strings.Contains(log, "the message at offset 2 is not the one that was stored") {
				t.Errorf("the log does not say it: %s", log)
			}
		})
	}
}

func readiness(t *testing.T, url string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, url+"/readyz", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}
