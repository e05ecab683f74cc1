package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/topiq/topiq/api/apitest"
	"github.com/topiq/topiq/client"
)

// numbered is a file of n lines, each of them different.
func numbered(t *testing.T, n int) (path string, content []byte) {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d %x\n", i, i*i)
	}
	path = filepath.Join(t.TempDir(), "numbered")
	writeFile(t, path, b.String())
	return path, []byte(b.String())
}

// reach waits until the topic t has so many messages. It returns false if done is closed before.
func reach(t *testing.T, url string, messages int64, done <-chan struct{}) bool {
	t.Helper()
	c, err := client.New(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		described, err := c.DescribeTopic(t.Context(), "t")
		if err == nil && described.NextOffset >= messages {
			return true
		}
		select {
		case <-done:
			return false
		case <-t.Context().Done():
			t.Fatal("the test has ended")
		case <-look.C:
		}
	}
}

const crashes = 6

// crashLines is how many lines there are: enough for crashes kills in between.
func crashLines() int {
	if apitest.RaceDetector {
		return 10_000 // which takes as long
	}
	return 30_000
}

// TestBrokerCrashes kills the broker again and again while a file is produced under a name. The
// producer waits for the broker each time, and in the end every line is there once, in order.
func TestBrokerCrashes(t *testing.T) {
	t.Parallel()
	path, content := numbered(t, crashLines())
	store := "sqlite:" + filepath.Join(t.TempDir(), "topiq.db")
	b := serve(t, store)
	produced, done := make(chan outcome, 1), make(chan struct{})
	go func() {
		defer close(done)
		produced <- topiq(t, "", "produce", "t", path, "--name=p", "--batch=40", "--url="+b.url)
	}()
	killed := 0
	for ; killed < crashes && reach(t, b.url, int64(killed+1)*int64(crashLines())/(crashes+2), done); killed++ {
		b.kill()
		b = b.again(t, store)
	}
	if o := <-produced; o.code != exitOK || !strings.Contains(o.stderr, fmt.Sprintf("stored %d messages in t", crashLines())) {
		t.Fatalf("produce: %+v", o)
	}
	t.Logf("killed the broker %d times", killed)
	if killed < crashes/2 {
		t.Errorf("the broker was killed only %d times: make the file larger", killed)
	}
	checkSame(t, mustTopiq(t, "", "consume", "t", "--url="+b.url), content)
}

// TestProducerCrashes kills the producer instead, and runs it again, as its help says.
func TestProducerCrashes(t *testing.T) {
	t.Parallel()
	path, content := numbered(t, crashLines())
	b := serve(t, "sqlite:"+filepath.Join(t.TempDir(), "topiq.db"))
	args := []string{"produce", "t", path, "--name=p", "--batch=40", "--url=" + b.url}
	killed := 0
	for ; killed < crashes; killed++ {
		p := start(t, args...)
		if !reach(t, b.url, int64(killed+1)*int64(crashLines())/(crashes+2), p.ended) {
			break
		}
		p.kill()
	}
	t.Logf("killed the producer %d times", killed)
	if killed < crashes/2 {
		t.Errorf("the producer was killed only %d times: make the file larger", killed)
	}
	mustTopiq(t, "", args...)
	checkSame(t, mustTopiq(t, "", "consume", "t", "--url="+b.url), content)
}

// TestConsumerCrashes kills a consumer with a name again and again. What it wrote before each end
// is everything up to somewhere; it may begin again a little before that, but never after.
func TestConsumerCrashes(t *testing.T) {
	t.Parallel()
	const lines = 30_000 // thousands of them may be in the pipe when the consumer ends
	path, content := numbered(t, lines)
	url := "--url=" + serve(t, "memory:").url
	mustTopiq(t, "", "produce", "t", path, url)
	want := strings.SplitAfter(string(content), "\n")
	next := 0 // the first line that was not seen
	for range crashes {
		p := start(t, "consume", "t", "--name=c", url)
		for range lines / (crashes + 2) {
			line, err := p.stdout.ReadString('\n')
			if err != nil {
				t.Fatalf("%v; stderr:\n%s", err, p.stderr.String())
			}
			next = follows(t, want, line, next)
		}
		p.kill()
		// What is in the pipe was written, though perhaps not to its end.
		for line, err := p.stdout.ReadString('\n'); err == nil; line, err = p.stdout.ReadString('\n') {
			next = follows(t, want, line, next)
		}
	}
	for line := range strings.Lines(mustTopiq(t, "", "consume", "t", "--name=c", url)) {
		next = follows(t, want, line, next)
	}
	if next != lines {
		t.Errorf("%d lines were seen, want %d", next, lines)
	}
}

// follows checks that a line is not beyond the next one, and returns which is next after it.
func follows(t *testing.T, want []string, line string, next int) int {
	t.Helper()
	var i int
	if _, err := fmt.Sscan(line, &i); err != nil || i > next || line != want[i] {
		t.Fatalf("got %q, want line %d or one before", line, next)
	}
	return max(next, i+1)
}
