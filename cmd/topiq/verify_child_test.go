package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// script is a program that takes the place of the broker.
func script(t *testing.T, lines string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "broker")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+lines), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

const listening = `echo "topiq dev listens on http://127.0.0.1:1 and more"` + "\n"

func TestVerifyChild(t *testing.T) {
	t.Parallel()
	t.Run("does not start", func(t *testing.T) {
		t.Parallel()
		c := &child{program: script(t, "echo one >&2\necho topiq: two >&2\nexit 3\n"), lost: unexpected(t)}
		if err := c.start(t.Context()); err == nil || err.Error() != "the broker did not start: exit status 3: two" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("is not there", func(t *testing.T) {
		t.Parallel()
		c := &child{program: filepath.Join(t.TempDir(), "missing"), lost: unexpected(t)}
		if err := c.start(t.Context()); err == nil || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("never listens", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		c := &child{program: script(t, "exec sleep 1000\n"), lost: unexpected(t)}
		if err := c.start(ctx); err == nil || !strings.Contains(err.Error(), "deadline") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ends by itself", func(t *testing.T) {
		t.Parallel()
		lost := make(chan error, 1)
		c := &child{program: script(t, listening+"exit 4\n"), lost: func(err error) { lost <- err }}
		if err := c.start(t.Context()); err == nil {
			err = <-lost
			if err.Error() != "the broker ended by itself: exit status 4" {
				t.Errorf("lost: %v", err)
			}
		}
		if err := c.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	t.Run("does not end well", func(t *testing.T) {
		t.Parallel()
		c := &child{program: script(t, `trap "echo busy >&2; exit 5" TERM`+"\n"+listening+"while :; do sleep 0.01; done\n"), lost: unexpected(t)}
		if err := c.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.stop(); err == nil || err.Error() != "after SIGTERM, exit status 5: busy" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("is killed and starts again", func(t *testing.T) {
		t.Parallel()
		c := &child{program: script(t, listening+"exec sleep 1000\n"), lost: unexpected(t)}
		for range 3 {
			if err := c.start(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.kill()
		}
		if err := c.stop(); err != nil {
			t.Errorf("stop after kill: %v", err)
		}
	})
}

func unexpected(t *testing.T) func(error) {
	t.Helper()
	return func(err error) { t.Errorf("lost: %v", err) }
}

func TestVerifyTail(t *testing.T) {
	t.Parallel()
	var kept tail
	for i := range 10_000 {
		if _, err := fmt.Fprintf(&kept, "line %d\n\n", i); err != nil {
			t.Fatal(err)
		}
	}
	if got := kept.lastLine(); got != "line 9999" || len(kept.kept) > tailBytes {
		t.Errorf("%q of %d bytes", got, len(kept.kept))
	}
}
