package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/topiq/topiq/client"
	"github.com/topiq/topiq/db/postgres/pgtest"
)

// TestOutboxCrashes kills a producer with an outbox again and again, at random times, while its input, a pipe that
// nobody can read again, goes on. What it had acknowledged is not lost, nothing is there twice, and each run's lines
// are in order without a gap: they went into the outbox one after another.
func TestOutboxCrashes(t *testing.T) {
	t.Parallel()
	const kills = 25
	b := serve(t, "sqlite:"+filepath.Join(t.TempDir(), "topiq.db"))
	url, outbox := "--url="+b.url, "--outbox="+filepath.Join(t.TempDir(), "outbox")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for life := range kills {
		p := start(t, "produce", "t", "--name=p", "--batch=7", outbox, url)
		fed := make(chan struct{})
		go func() {
			defer close(fed)
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(p.stdin, "%d %d\n", life, i); err != nil {
					return
				}
			}
		}()
		if life%3 != 0 { // The others are killed while they start.
			reach(t, b.url, 1+described(t, b.url), p.ended)
		}
		pause := time.NewTimer(time.Duration(random.IntN(30)) * time.Millisecond)
		select {
		case <-pause.C:
		case <-p.ended:
			t.Fatalf("it ended by itself: %s", p.stderr.String())
		}
		p.kill()
		<-fed
	}
	o := topiq(t, "", "produce", "t", "--name=p", outbox, url)
	if o.code != exitOK {
		t.Fatalf("%+v", o)
	}
	t.Log(strings.TrimSpace(o.stderr))
	got := mustTopiq(t, "", "consume", "t", url)
	next, lives := map[int]int{}, 0
	for line := range strings.Lines(got) {
		var life, i int
		if _, err := fmt.Sscan(line, &life, &i); err != nil || next[life] != i {
			t.Fatalf("got %q, want line %d of that run", line, next[life])
		}
		if next[life]++; i == 0 {
			lives++
		}
	}
	if lives < kills/3 {
		t.Errorf("only %d of %d runs have sent something", lives, kills)
	}
	if o := topiq(t, "", "produce", "t", "--name=p", outbox, url); o.stderr != "stored 0 messages in t\n" {
		t.Errorf("nothing was left, but: %+v", o)
	}
}

// described is how many messages the topic t has.
func described(t *testing.T, url string) int64 {
	t.Helper()
	c, err := client.New(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	topic, err := c.DescribeTopic(t.Context(), "t")
	if err != nil && !errors.Is(err, client.ErrTopicNotFound) {
		t.Fatal(err)
	}
	return topic.NextOffset
}

// TestOutboxOfTheCommand appends the input of every run, and refuses what cannot work.
func TestOutboxOfTheCommand(t *testing.T) {
	t.Parallel()
	b := serveHere(t, "--store=memory:")
	url, outbox := "--url="+b.url, "--outbox="+filepath.Join(t.TempDir(), "outbox")
	for range 2 {
		mustTopiq(t, "a\nb\n", "produce", "t", "--name=p", outbox, url)
	}
	if got := mustTopiq(t, "", "consume", "t", url); got != "a\nb\na\nb\n" {
		t.Errorf("stored %q", got)
	}
	for want, row := range map[string]struct {
		args []string
		code int
	}{
		"give both":            {[]string{"t", outbox}, exitUsage},
		"give one of them":     {[]string{"t", outbox, "--name=p", "--resume"}, exitUsage},
		"is that of the produ": {[]string{"t", outbox, "--name=q"}, exitFailure},
		"p of topic t":         {[]string{"u", outbox, "--name=p"}, exitFailure},
	} {
		if o := topiq(t, "c\n", append(append([]string{"produce"}, row.args...), url)...); o.code != row.code || !strings.Contains(o.stderr, want) {
			t.Errorf("%v: %+v; want %q", row.args, o, want)
		}
	}
	hold := start(t, "produce", "t", "--name=p", outbox, url)
	if _, err := io.WriteString(hold.stdin, "held\n"); err != nil {
		t.Fatal(err)
	}
	reach(t, b.url, 5, hold.ended)
	if o := topiq(t, "c\n", "produce", "t", "--name=p", outbox, url); o.code != exitFailure || !strings.Contains(o.stderr, "another producer uses it") {
		t.Errorf("a second producer: %+v", o)
	}
}

// TestBrokerOfTwoIsKilled kills one of two brokers on one database while a file is produced. The command goes on with
// the other one, and every line is there once, in order.
func TestBrokerOfTwoIsKilled(t *testing.T) {
	t.Parallel()
	path, content := numbered(t, 4000)
	store := pgtest.URL(t)
	first, second := serve(t, store), serve(t, store)
	urls := "--url=" + first.url + "," + second.url
	produced, done := make(chan outcome, 1), make(chan struct{})
	go func() {
		defer close(done)
		produced <- topiq(t, "", "produce", "t", path, "--name=p", "--batch=20", urls)
	}()
	if !reach(t, second.url, 800, done) {
		t.Error("it was done too soon: make the file larger")
	}
	first.kill()
	if o := <-produced; o.code != exitOK || !strings.Contains(o.stderr, "stored 4000 messages in t at offsets 0 to 3999") {
		t.Fatalf("produce: %+v", o)
	}
	checkSame(t, mustTopiq(t, "", "consume", "t", urls), content)
}

// TestSecondURL checks that commands go on with the second broker when there is no first.
func TestSecondURL(t *testing.T) {
	t.Parallel()
	store := "sqlite:" + filepath.Join(t.TempDir(), "topiq.db")
	first := serve(t, store)
	second := serve(t, "memory:")
	path, content := numbered(t, 5000)
	first.kill()
	both := "--url=" + first.url + "," + second.url
	mustTopiq(t, "", "produce", "t", path, "--name=p", "--batch=50", "--url="+first.url, "--url="+second.url)
	for _, args := range [][]string{
		{"topics", "list"}, {"topics", "describe", "t"}, {"producers", "t"}, {"consumers", "t"},
	} {
		mustTopiq(t, "", append(args, both)...)
	}
	got := mustTopiq(t, "", "consume", "t", both)
	if !bytes.Equal([]byte(got), content) {
		t.Errorf("%d bytes, want %d", len(got), len(content))
	}
}
