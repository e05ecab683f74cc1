package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/topiq/topiq/client"
)

func clientOf(t *testing.T, url string) *client.Client {
	t.Helper()
	c, err := client.New(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func register(t *testing.T, c *client.Client, topic, name string) int64 {
	t.Helper()
	r, err := c.RegisterProducer(t.Context(), topic, name)
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

// exportable makes a topic with all that a message can be: two producers whose messages lie between each
// other, messages without a name, with a name and no seq, empty ones, bytes, control characters, headers.
func exportable(t *testing.T, url, topic string) {
	t.Helper()
	c := clientOf(t, url)
	unnamed := register(t, c, topic, "")
	register(t, c, topic, "a")
	register(t, c, topic, "b.2")
	seq := func(n int64) *int64 { return &n }
	headers := map[string]string{"k": "\x00v", "empty": "", "traceparent": "00-x", "ü <&>": "{\"\\"}
	for _, a := range []client.Append{
		{ProdName: "a", Seq: seq(0), Messages: []client.Message{client.Text("zero"), client.Text("\x00\u2028 <&> \"\\ \x1f ü 𝄞")}},
		{ProdName: "b.2", Seq: seq(0), Messages: []client.Message{client.Bytes([]byte{0, 255, 254, '\n', '\r'})}},
		{Messages: []client.Message{client.Text(""), client.Bytes(nil), client.Text("line\nbreak\r\n")}},
		{ProdName: "a", Seq: seq(2), Messages: []client.Message{{Value: []byte("with headers"), Headers: headers}}},
		{ProdName: "c", Messages: []client.Message{client.Text("a name without a number")}},
		{ProdName: "b.2", Seq: seq(1), Messages: []client.Message{client.Text(`\u0000`), client.Text("last")}},
		{ProdName: "a", Seq: seq(3), Messages: []client.Message{client.Text(strings.Repeat("long ", 100_000))}},
	} {
		a.ProducerID = unnamed
		if _, err := c.Append(t.Context(), topic, a); err != nil {
			t.Fatal(err)
		}
	}
}

// kept is an export without what an import does not keep.
func kept(t *testing.T, export string) string {
	t.Helper()
	_, lines, _ := strings.Cut(export, "\n") // without the head
	lines = lines[:strings.LastIndex(strings.TrimSuffix(lines, "\n"), "\n")]
	return regexp.MustCompile(`,"created_at":"[^"]*"`).ReplaceAllString(lines, "")
}

// TestExportAndImport: on each engine, what was exported comes back as it was, and to import it once more
// changes nothing.
func TestExportAndImport(t *testing.T) {
	t.Parallel()
	for engine, store := range storedEngines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			url := "--url=" + serveHere(t, "--store="+store(t)).url
			exportable(t, strings.TrimPrefix(url, "--url="), "orders")
			export := mustTopiq(t, "", "export", url, "orders")
			if n := strings.Count(export, "\n"); n != 2+11 {
				t.Fatalf("%d lines:\n%s", n, export)
			}
			file := filepath.Join(t.TempDir(), "orders.ndjson")
			writeFile(t, file, export)
			if o := topiq(t, "", "import", url, "copy", file); o.code != exitOK || !strings.Contains(o.stderr, "imported 11 messages into copy") {
				t.Fatalf("%+v", o)
			}
			again := mustTopiq(t, "", "export", url, "copy")
			if kept(t, export) != kept(t, again) {
				t.Errorf("exported\n%s\nand imported\n%s", export, again)
			}
			if o := topiq(t, export, "import", url, "copy", "-"); o.code != exitOK || !strings.Contains(o.stderr, "imported 0 messages into copy; 11 were there") {
				t.Errorf("again: %+v", o)
			}
			if third := mustTopiq(t, "", "export", url, "copy"); kept(t, third) != kept(t, again) {
				t.Errorf("to import again has changed the topic:\n%s", third)
			}
			goesOn(t, strings.TrimPrefix(url, "--url="))
		})
	}
}

// goesOn: a producer goes on in the copy where it was, and its old messages are known there.
func goesOn(t *testing.T, url string) {
	t.Helper()
	p, err := clientOf(t, url).Producer(t.Context(), "copy", client.Name("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close(context.WithoutCancel(t.Context())) }()
	if p.NextSeq() != 4 {
		t.Errorf("a goes on with %d", p.NextSeq())
	}
	r, err := p.Send(t.Context(), client.Text("next"))
	if err != nil || r.Offset != 11 || r.Seq != 4 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestInterruptedImport: an input that ends at any line is told of, and the whole one goes on where it ended.
func TestInterruptedImport(t *testing.T) {
	t.Parallel()
	b := serveHere(t, "--store=memory:")
	url := "--url=" + b.url
	exportable(t, b.url, "orders")
	export := mustTopiq(t, "", "export", url, "orders")
	lines := strings.SplitAfter(strings.TrimSuffix(export, "\n"), "\n")
	for n := 1; n < len(lines); n++ {
		cut := strings.Join(lines[:n], "")
		if n%3 == 0 {
			cut += lines[n][:len(lines[n])/2]
		}
		if o := topiq(t, cut, "import", url, "copy"); o.code != exitFailure {
			t.Fatalf("%d lines: %+v", n, o)
		}
		topic, err := clientOf(t, b.url).DescribeTopic(t.Context(), "copy")
		if want := min(int64(n-1), 11); err != nil || topic.NextOffset != want {
			t.Fatalf("%d lines: the topic ends at %d, want %d (%v)", n, topic.NextOffset, want, err)
		}
	}
	mustTopiq(t, export, "import", url, "copy")
	if again := mustTopiq(t, "", "export", url, "copy"); kept(t, again) != kept(t, export) {
		t.Errorf("exported\n%s\nand imported\n%s", export, again)
	}
}

// TestImportRefuses: nothing is imported that is not what was exported, nor into a topic with other messages.
func TestImportRefuses(t *testing.T) {
	t.Parallel()
	b := serveHere(t, "--store=memory:")
	url := "--url=" + b.url
	exportable(t, b.url, "orders")
	export := mustTopiq(t, "", "export", url, "orders")
	mustTopiq(t, "other\n", "produce", url, "taken")
	head, rest, _ := strings.Cut(export, "\n")
	trimmed := strings.Replace(head, `"first_offset":0,"end_offset":11`, `"first_offset":5,"end_offset":16`, 1)
	for what, c := range map[string]struct{ topic, input, problem string }{
		"nothing":              {"x1", "", "empty"},
		"something else":       {"x2", "hello\n", "line 1"},
		"a later format":       {"x3", strings.Replace(export, `"topiq_export":1`, `"topiq_export":2`, 1), "format 2"},
		"another topic":        {"taken", export, "another message at offset 0"},
		"a changed message":    {"x4", strings.Replace(export, `"zero"`, `"nero"`, 1), "checksum"},
		"a message is missing": {"x5", strings.Replace(export, strings.SplitAfter(export, "\n")[3], "", 1), "line 4"},
		"not UTF-8":            {"x6", strings.Replace(export, `"zero"`, "\"\xff\"", 1), "line 2"},
		"more at the end":      {"x7", export + "{}\n", "follows on the end"},
		"trimmed before":       {"x8", trimmed + "\n" + rest, "--drop-seq"},
	} {
		o := topiq(t, c.input, "import", url, c.topic)
		if o.code != exitFailure || !strings.Contains(o.stderr, c.problem) {
			t.Errorf("%s: exit code %d, %s", what, o.code, o.stderr)
		}
	}
	if text := mustTopiq(t, "", "consume", url, "taken"); text != "other\n" {
		t.Errorf("the topic that was taken has %q", text)
	}
}

// TestImportWithoutNumbers: what is left of a producer whose first messages were trimmed.
func TestImportWithoutNumbers(t *testing.T) {
	t.Parallel()
	b := serveHere(t, "--store=memory:")
	url := "--url=" + b.url
	export := `{"topiq_export":1,"topic":"t","incarnation":"i","first_offset":7,"end_offset":10,"producers":{"new":1,"old":5}}
{"offset":7,"message":"x","prod_name":"old","seq":3,"created_at":"2026-01-01T00:00:00Z"}
{"offset":8,"message":"y","prod_name":"new","seq":0,"created_at":"2026-01-01T00:00:00Z"}
{"offset":9,"message":"z","prod_name":"old","seq":4,"created_at":"2026-01-01T00:00:00Z"}
`
	o := topiq(t, export, "import", url, "t", "--drop-seq")
	if o.code != exitFailure || !strings.Contains(o.stderr, "not whole") || !strings.Contains(o.stderr, "imported 3 messages") {
		t.Errorf("%+v", o)
	}
	want := `{"offset":0,"message":"x","prod_name":"old"}
{"offset":1,"message":"y","prod_name":"new","seq":0}
{"offset":2,"message":"z","prod_name":"old"}`
	if got := kept(t, mustTopiq(t, "", "export", url, "t")); got != want {
		t.Errorf("imported\n%s", got)
	}
}

// TestStoreBackup: a copy made under load has a beginning of each topic and nothing else, can be checked and
// served, and is known as another history where it is put back (P13).
func TestStoreBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, copied := "sqlite:"+filepath.Join(dir, "topiq.db"), filepath.Join(dir, "backup", "topiq.db")
	if err := os.Mkdir(filepath.Dir(copied), 0o700); err != nil {
		t.Fatal(err)
	}
	b := serve(t, store) // in another process
	c := clientOf(t, b.url)
	p, err := c.Producer(t.Context(), "orders", client.Name("p"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	loaded := make(chan int64, 1)
	first := make(chan struct{})
	go func() {
		n := int64(0)
		for ; ctx.Err() == nil; n++ {
			if _, err := p.Send(context.WithoutCancel(ctx), client.Text(strings.Repeat("x", 1000))); err != nil {
				t.Error(err)
				break
			}
			if n == 20 {
				close(first)
			}
		}
		loaded <- n
	}()
	select {
	case <-first:
	case n := <-loaded:
		t.Fatalf("only %d messages were stored", n)
	}
	before, err := c.DescribeTopic(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	mustTopiq(t, "", "store", "backup", "--store="+store, copied)
	if o := topiq(t, "", "store", "backup", "--store="+store, copied); o.code != exitFailure || !strings.Contains(o.stderr, "never replaces") {
		t.Errorf("onto a file that is there: %+v", o)
	}
	cancel()
	stored := <-loaded
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	b.kill()
	if out := mustTopiq(t, "", "store", "check", "--store=sqlite:"+copied); !strings.Contains(out, "all agrees") {
		t.Errorf("the copy: %s", out)
	}
	if out := mustTopiq(t, "", "store", "check", "--store="+store); !strings.Contains(out, "all agrees") {
		t.Errorf("the store: %s", out)
	}
	served := serveHere(t, "--store=sqlite:"+copied)
	after, err := clientOf(t, served.url).DescribeTopic(t.Context(), "orders")
	if err != nil || after.NextOffset < before.NextOffset || after.NextOffset > stored {
		t.Errorf("the copy ends at %d; the topic ended at %d before and at %d at last (%v)", after.NextOffset, before.NextOffset, stored, err)
	}
	if after.Incarnation == before.Incarnation {
		t.Errorf("the copy has the incarnation of the store")
	}
}

// TestStoreBackupPutBack: also within the same start of its broker, where a copy of the file would not be noticed.
func TestStoreBackupPutBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "topiq.db")
	store := "sqlite:" + file
	filled(t, store, "orders")
	mustTopiq(t, "", "store", "backup", "--store="+store, file+".backup") // without a broker
	b := serveHere(t, "--store="+store)
	before, err := clientOf(t, b.url).DescribeTopic(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	mustTopiq(t, "", "store", "backup", "--store="+store, file+".backup2")
	mustTopiq(t, "lost\n", "produce", "--url="+b.url, "orders")
	if code := b.stop(); code != exitOK {
		t.Fatal(code, b.stderr)
	}
	if err := os.Rename(file+".backup2", file); err != nil {
		t.Fatal(err)
	}
	b = serveHere(t, "--store="+store)
	after, err := clientOf(t, b.url).DescribeTopic(t.Context(), "orders")
	if err != nil || after.NextOffset != before.NextOffset || after.Incarnation == before.Incarnation {
		t.Errorf("before %+v, put back %+v, %v", before, after, err)
	}
}

func TestStoreBackupRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "text"), strings.Repeat("no database ", 100))
	for store, problem := range map[string]string{
		"memory:":                              "no file to copy",
		"postgres://topiq@localhost/topiq":     "pg_dump",
		"sqlite:" + filepath.Join(dir, "none"): "no such file",
		"sqlite:" + filepath.Join(dir, "text"): "not an SQLite database",
	} {
		o := topiq(t, "", "store", "backup", "--store="+store, filepath.Join(dir, "copy"))
		if o.code != exitFailure || !strings.Contains(o.stderr, problem) {
			t.Errorf("%s: %+v", store, o)
		}
		for _, name := range []string{"copy", "copy.new"} {
			if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
				t.Errorf("%s: %s was left", store, name)
			}
		}
	}
}
