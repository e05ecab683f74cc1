package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/topiq/topiq/db"
	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
)

// storedEngines are the engines whose stores outlive a broker, each with the address of a new store.
func storedEngines() map[string]func(t *testing.T) string {
	return map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { t.Helper(); return "sqlite:" + filepath.Join(t.TempDir(), "topiq.db") },
		"postgres": func(t *testing.T) string { t.Helper(); return pgtest.URL(t) },
	}
}

// filled makes topics in a store: p has seqs at the offsets 0, 1 and 3, and 2 is stored without. The
// consumer c is at 2.
func filled(t *testing.T, url string, topics ...string) {
	t.Helper()
	store, err := db.Open(t.Context(), url, db.Config{})
	if err != nil {
		t.Fatal(err)
	}
	broker := service.NewBroker(store, service.Config{})
	for _, name := range topics {
		fill(t, broker, service.TopicName(name))
	}
	if err := broker.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func fill(t *testing.T, broker *service.Broker, topic service.TopicName) {
	t.Helper()
	p, _, err := broker.RegisterProducer(t.Context(), topic, "p", "")
	if err != nil {
		t.Fatal(err)
	}
	seq := int64(0)
	for _, texts := range [][]string{{"zero", "one"}, {"without"}, {"three"}} {
		r := service.ProduceRequest{Topic: topic, Producer: p.ID}
		for _, text := range texts {
			r.Payloads = append(r.Payloads, service.Payload{Bytes: []byte(text)})
		}
		if texts[0] != "without" {
			r.Seq = &seq
		}
		if _, err := broker.Produce(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if r.Seq != nil {
			seq += int64(len(texts))
		}
	}
	if _, _, err := broker.RegisterConsumer(t.Context(), topic, "c", 2); err != nil {
		t.Fatal(err)
	}
}

func TestStoreHelp(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"store":                 {"store", "--help"},
		"store-check":           {"store", "check", "--help"},
		"store-backup":          {"store", "backup", "--help"},
		"store-new-incarnation": {"store", "new-incarnation", "--help"},
	} {
		golden(t, "help-"+name+".txt", mustTopiq(t, "", args...))
	}
}

func TestStoreUsage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args, want string
	}{
		{"check --store=memory:", "--store memory: is inside its broker"},
		{"new-incarnation --yes", "name the topics, or say --all"},
		{"new-incarnation --yes --all a", "name the topics, or say --all"},
		{"new-incarnation a", "there is nobody to ask: say --yes"},
		{"new-incarnation --all", "there is nobody to ask: say --yes"},
	} {
		o := topiq(t, "y\n", append([]string{"store"}, strings.Fields(test.args)...)...)
		if o.code != exitUsage || !strings.Contains(o.stderr, test.want) || o.stdout != "" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q; want %q", test.args, o.code, o.stdout, o.stderr, test.want)
		}
		checkOneLine(t, o)
	}
}

func TestStoreThatIsNotThereIsNotMade(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "missing", "topiq.db")
	for _, args := range [][]string{{"check"}, {"new-incarnation", "--all", "--yes"}} {
		o := topiq(t, "", append(append([]string{"store"}, args...), "--store=sqlite:"+file)...)
		if o.code != exitFailure || !strings.Contains(o.stderr, "no such file") {
			t.Errorf("%q: %+v", args, o)
		}
		if _, err := os.Stat(filepath.Dir(file)); !os.IsNotExist(err) {
			t.Errorf("%q made a directory: %v", args, err)
		}
	}
}

// TestStoreOfARunningBroker checks that nothing comes between a broker and its file, and that
// whoever tries is told what to do.
func TestStoreOfARunningBroker(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "topiq.db")
	serveHere(t, "--store="+url)
	o := topiq(t, "", "store", "check", "--store="+url)
	if o.code != exitFailure || !strings.Contains(o.stderr, "stop its broker first") {
		t.Errorf("exit code %d, stderr %q", o.code, o.stderr)
	}
	checkOneLine(t, o)
}

// TestStoreCheckOfAWholeStore checks what brokers have left, through the command line alone.
func TestStoreCheckOfAWholeStore(t *testing.T) {
	t.Parallel()
	for name, newStore := range storedEngines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newStore(t)
			b := serveHere(t, "--store="+store)
			url := "--url=" + b.url
			mustTopiq(t, "one\ntwo\nthree\n", "produce", "orders", "--name=p", url)
			mustTopiq(t, "four\n", "produce", "orders", url)
			mustTopiq(t, "", "consume", "orders", "--name=c", "--limit=2", url)
			mustTopiq(t, "", "topics", "create", "empty", url)
			if name == "postgres" {
				mustTopiq(t, "", "store", "check", "--store="+store)
			}
			if code := b.stop(); code != exitOK {
				t.Fatalf("serve ended with %d: %s", code, b.stderr)
			}
			got := mustTopiq(t, "", "store", "check", "--store="+store)
			if !regexp.MustCompile(`^2 topics, 4 messages, \d producers?, 1 consumer: all agrees\n$`).MatchString(got) {
				t.Errorf("store check: %q", got)
			}
			var result storeChecked
			if err := json.Unmarshal([]byte(mustTopiq(t, "", "store", "check", "--json", "--store="+store)), &result); err != nil {
				t.Fatal(err)
			}
			if !result.Complete || result.Topics != 2 || result.Messages != 4 || result.Findings == nil {
				t.Errorf("store check --json: %+v", result)
			}
		})
	}
}

// TestStoreCheckThatFails checks that what could not be checked is never taken for whole, and that a
// reader who leaves does not make it look so.
func TestStoreCheckThatFails(t *testing.T) {
	t.Parallel()
	url := storedEngines()["sqlite"](t)
	filled(t, url, "orders")
	damage(t, url, `UPDATE messages SET headers = CAST('{' AS BLOB) WHERE "offset" = 2`)
	o := topiq(t, "", "store", "check", "--store="+url)
	if o.code != exitFailure || !strings.Contains(o.stderr, "topic orders: read") || !strings.Contains(o.stdout, "no findings, but not all was checked") {
		t.Errorf("%+v", o)
	}
	if o = topiq(t, "", "store", "check", "--json", "--store="+url); o.code != exitFailure || !strings.Contains(o.stdout, `"complete": false`) {
		t.Errorf("%+v", o)
	}
	var stderr lockedBuffer
	args := []string{"store", "check", "--store=" + url}
	if code := run(t.Context(), args, strings.NewReader(""), failingWriter{io.ErrClosedPipe}, &stderr); code != exitFailure {
		t.Errorf("without a reader: exit code %d, stderr %q", code, stderr.String())
	}
}

func TestStoreFromTheEnvironment(t *testing.T) {
	url := storedEngines()["sqlite"](t)
	filled(t, url, "orders")
	t.Setenv("TOPIQ_STORE", url)
	if got := mustTopiq(t, "", "store", "check"); got != "1 topic, 4 messages, 1 producer, 1 consumer: all agrees\n" {
		t.Errorf("store check: %q", got)
	}
	t.Setenv("TOPIQ_YES", "true")
	if o := topiq(t, "", "store", "new-incarnation", "orders"); o.code != exitUsage {
		t.Errorf("a yes that nobody said: %+v", o)
	}
}

func TestStoreNewIncarnation(t *testing.T) {
	t.Parallel()
	for name, newStore := range storedEngines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := newStore(t)
			filled(t, store, "a", "b", "c")
			before := incarnations(t, store, "a", "b", "c")
			if o := topiq(t, "", "store", "new-incarnation", "a", "missing", "--yes", "--store="+store); o.code != exitFailure ||
				!strings.Contains(o.stderr, "topic missing does not exist; nothing was changed") || o.stdout != "" {
				t.Errorf("a missing topic: %+v", o)
			}
			got := mustTopiq(t, "", "store", "new-incarnation", "b", "a", "b", "--yes", "--store="+store)
			after := incarnations(t, store, "a", "b", "c")
			if want := "a: " + before[0] + " → " + after[0] + "\nb: " + before[1] + " → " + after[1] + "\n"; got != want ||
				before[0] == after[0] || before[1] == after[1] || before[2] != after[2] {
				t.Errorf("%q, but the incarnations were %q and are %q", got, before, after)
			}
			got = mustTopiq(t, "", "store", "new-incarnation", "--all", "--yes", "--store="+store)
			if all := incarnations(t, store, "a", "b", "c"); strings.Count(got, " → ") != 3 || all[2] == after[2] {
				t.Errorf("%q, and the incarnations are %q", got, all)
			}
			mustTopiq(t, "", "store", "check", "--store="+store)
		})
	}
}

func incarnations(t *testing.T, url string, topics ...service.TopicName) []string {
	t.Helper()
	store, err := db.Open(t.Context(), url, db.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	heads, err := store.Heads(t.Context(), topics)
	if err != nil {
		t.Fatal(err)
	}
	list := make([]string, len(topics))
	for i, topic := range topics {
		for _, head := range heads {
			if head.Name == topic {
				list[i] = head.Incarnation
			}
		}
	}
	return list
}

// TestStoreNewIncarnationIsToldByARunningBroker changes it behind a broker, which on PostgreSQL is
// allowed.
func TestStoreNewIncarnationIsToldByARunningBroker(t *testing.T) {
	t.Parallel()
	store := pgtest.URL(t)
	url := "--url=" + serveHere(t, "--store="+store).url
	mustTopiq(t, "one\n", "produce", "orders", url)
	mustTopiq(t, "", "topics", "describe", "orders", url)
	got := mustTopiq(t, "", "store", "new-incarnation", "orders", "--yes", "--store="+store)
	_, incarnation, _ := strings.Cut(strings.TrimSpace(got), " → ")
	if described := mustTopiq(t, "", "topics", "describe", "orders", url); incarnation == "" || !strings.Contains(described, incarnation) {
		t.Errorf("%q, but the broker says %q", got, described)
	}
}

func TestStoreAsks(t *testing.T) {
	t.Parallel()
	for answer, yes := range map[string]bool{
		"y\n": true, "yes\n": true, " YES \n": true, "y": true, "": false, "\n": false, "n\n": false, "yesterday\n": false,
	} {
		var asked lockedBuffer
		if err := ask(strings.NewReader(answer), &asked, "Go on?"); (err == nil) != yes || asked.String() != "Go on? [y/N] " {
			t.Errorf("%q to %q: %v", answer, asked.String(), err)
		}
	}
	url := storedEngines()["sqlite"](t)
	filled(t, url, "orders")
	before := incarnations(t, url, "orders")
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	var stdout, stderr lockedBuffer
	code := run(t.Context(), []string{"store", "new-incarnation", "orders", "--store=" + url}, null, &stdout, &stderr)
	if code != exitFailure || !strings.Contains(stderr.String(), "Clients of 1 topic will") ||
		!strings.Contains(stderr.String(), "nothing was changed") || incarnations(t, url, "orders")[0] != before[0] {
		t.Errorf("without an answer: exit code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
	}
	if isTerminal(strings.NewReader("")) {
		t.Error("a string is a terminal")
	}
}

// A consumer that is further on than its topic has read what is lost: that is no end of the topic.
func TestConsumeBeyondTheEnd(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "topiq.db")
	filled(t, url, "a")
	store, err := db.Open(t.Context(), url, db.Config{})
	if err != nil {
		t.Fatal(err)
	}
	row, _, err := store.RegisterConsumer(t.Context(), service.ConsumerRegistration{Topic: "a", Name: "c", At: time.Now()})
	if err == nil {
		err = store.CommitOffsets(t.Context(), []service.OffsetCommit{{Consumer: row.ID, Offset: 1000}}, time.Now())
	}
	if err = errors.Join(err, store.Close()); err != nil {
		t.Fatal(err)
	}
	b := serve(t, url)
	for _, args := range [][]string{nil, {"--follow"}} {
		o := topiq(t, "", append([]string{"consume", "a", "--name=c", "--url=" + b.url}, args...)...)
		if o.code != exitFailure || !strings.Contains(o.stderr, "messages that it has read are lost") {
			t.Errorf("%+v", o)
		}
	}
	mustTopiq(t, "", "seek", "a", "--name=c", "--to=beginning", "--url="+b.url)
	if got := mustTopiq(t, "", "consume", "a", "--name=c", "--url="+b.url); got == "" {
		t.Error("nothing is read after the seek")
	}
}
