package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// sample is a file with lines of a real text and lines that are hardly text. It ends without a newline.
func sample(t *testing.T) (path string, content []byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	content = bytes.Repeat(text, 4)
	content = append(content, "\n\n\r\n\r\r\n \n\t\n"...)
	content = append(content, "\x00\n\x00\x01\x02\x1b[31m\n\xff\n\xc3\x28 half a rune \xe2\x80\n\xed\xa0\x80\n"...)
	content = append(content, "\ufeffa mark\n\u2028\u2029\n\U0001F600\n\ufffd\n<a href=\"x\">&amp;</a>\n{\"message\":\"\\u0000\"}\n"...)
	for c := range 256 {
		if c != '\n' {
			content = append(content, byte(c), '\n', byte(c), byte(c), '\n')
		}
	}
	content = append(content, strings.Repeat("long ", 200_000)...) // 1,000,000 bytes, near the largest message
	content = append(content, "\nthe last line has no newline\r"...)
	path = filepath.Join(t.TempDir(), "sample")
	writeFile(t, path, string(content))
	return path, content
}

// checkSame compares what was consumed with the file that was produced.
func checkSame(t *testing.T, got string, content []byte) {
	t.Helper()
	want := string(content)
	if !strings.HasSuffix(want, "\n") {
		want += "\n" // every message is written with one
	}
	if got == want {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			t.Fatalf("line %d is %.80q, want %.80q", i+1, gotLines[i], wantLines[i])
		}
	}
	t.Fatalf("%d lines, want %d", len(gotLines)-1, len(wantLines)-1)
}

// TestFiles checks for each engine that the lines of a file go in and come out byte for byte, and
// that they are there still after the broker was killed.
func TestFiles(t *testing.T) {
	t.Parallel()
	for name, url := range engines() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, content := sample(t)
			store := url(t)
			b := serve(t, store)
			mustTopiq(t, "", "produce", "named", path, "--name=p", "--url="+b.url)
			mustTopiq(t, string(content), "produce", "piped", "--url="+b.url)
			check := func() {
				for _, topic := range []string{"named", "piped"} {
					checkSame(t, mustTopiq(t, "", "consume", topic, "--url="+b.url), content)
				}
			}
			check()
			if name == "memory" {
				return
			}
			b.kill()
			b = serve(t, store)
			check()
		})
	}
}

// TestConsume checks where consume begins and ends.
func TestConsume(t *testing.T) {
	t.Parallel()
	url := "--url=" + serveHere(t, "--store=memory:").url
	var all strings.Builder
	for i := range 2500 {
		all.WriteString(strconv.Itoa(i) + "\n")
	}
	mustTopiq(t, all.String(), "produce", "t", "--batch=100", url)
	lines := func(from, to int) string {
		var b strings.Builder
		for i := from; i < to; i++ {
			b.WriteString(strconv.Itoa(i) + "\n")
		}
		return b.String()
	}
	for _, test := range []struct {
		args string
		want string
	}{
		{"", lines(0, 2500)},
		{"--from=beginning", lines(0, 2500)},
		{"--from=end", ""},
		{"--from=2400", lines(2400, 2500)},
		{"--from=2500", ""},
		{"--limit=3", lines(0, 3)},
		{"--limit=3 --follow", lines(0, 3)},
		{"--limit=9999", lines(0, 2500)},
		{"--limit=1000 --from=1", lines(1, 1001)},
		// In this order: the position is kept, and moves by what was written only.
		{"--name=c --limit=3", lines(0, 3)},
		{"--name=c --limit=1200", lines(3, 1203)},
		{"--name=c --from=end", lines(1203, 2500)},
		{"--name=c", ""},
		{"--name=d --from=2499", lines(2499, 2500)},
	} {
		args := append([]string{"consume", "t", url}, strings.Fields(test.args)...)
		if got := mustTopiq(t, "", args...); got != test.want {
			t.Errorf("consume %s: %d bytes, want %d; it begins with %.40q", test.args, len(got), len(test.want), got)
		}
	}
}

// TestConsumeCommitsWhatWasWritten checks that a consumer whose output fails keeps its position.
func TestConsumeCommitsWhatWasWritten(t *testing.T) {
	t.Parallel()
	url := "--url=" + serveHere(t, "--store=memory:").url
	mustTopiq(t, "a\nb\n", "produce", "t", url)
	var stderr lockedBuffer
	args := []string{"consume", "t", "--name=c", url}
	if code := run(t.Context(), args, strings.NewReader(""), failingWriter{os.ErrInvalid}, &stderr); code != exitFailure {
		t.Errorf("exit code %d; %s", code, stderr.String())
	}
	if got := mustTopiq(t, "", args...); got != "a\nb\n" {
		t.Errorf("after a failure to write: %q", got)
	}
}

// TestFollow checks that messages come out as they are stored, that the end that was asked for is no
// failure, and that what was written is committed by it.
func TestFollow(t *testing.T) {
	t.Parallel()
	url := "--url=" + serveHere(t, "--store=memory:").url
	mustTopiq(t, "", "topics", "create", "t", url)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, writer := io.Pipe()
	code := make(chan int, 1)
	args := []string{"consume", "t", "--name=c", url}
	var stderr lockedBuffer
	go func() {
		code <- run(ctx, append(args, "--follow"), strings.NewReader(""), writer, &stderr)
		_ = writer.Close()
	}()
	lines := bufio.NewReader(out)
	for _, want := range []string{"first\n", "second\n"} {
		mustTopiq(t, want, "produce", "t", url)
		if got, err := lines.ReadString('\n'); got != want || err != nil {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
	cancel()
	if code := <-code; code != exitOK || stderr.String() != "" {
		t.Errorf("exit code %d; stderr %q", code, stderr.String())
	}
	if got := mustTopiq(t, "", args...); got != "" {
		t.Errorf("written, but not committed: %q", got)
	}
}

// TestInterruptedProduce checks that a producer that waits for input can be ended, and says so.
func TestInterruptedProduce(t *testing.T) {
	t.Parallel()
	url := "--url=" + serveHere(t, "--store=memory:").url
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in, typed := io.Pipe()
	defer func() { _ = typed.Close() }()
	code := make(chan int, 1)
	var stderr lockedBuffer
	go func() { code <- run(ctx, []string{"produce", "t", url}, in, io.Discard, &stderr) }()
	if _, err := io.WriteString(typed, "typed\n"); err != nil {
		t.Fatal(err)
	}
	if got := mustTopiq(t, "", "topics", "list", url); got != "t\n" {
		t.Errorf("topics: %q", got)
	}
	if got := mustTopiq(t, "", "consume", "t", "--follow", "--limit=1", url); got != "typed\n" {
		t.Errorf("consumed %q", got)
	}
	cancel()
	if code := <-code; code != exitFailure || !strings.Contains(stderr.String(), "topiq: interrupted") {
		t.Errorf("exit code %d; stderr %q", code, stderr.String())
	}
}
