//go:build faults

package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/topiq/topiq/client"
)

// A build with fault points says so wherever it can.
func TestFaultsAreToldOf(t *testing.T) {
	t.Parallel()
	const told = "built with faults"
	if got := mustTopiq(t, "", "version"); !strings.Contains(got, told) {
		t.Errorf("version: %q", got)
	}
	b := serve(t, "memory:")
	c, err := client.New(b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	info, err := c.Info(t.Context())
	if err != nil || !strings.Contains(strings.Join(info.Unsafe, "\n"), told) {
		t.Errorf("/info: %+v, %v", info, err)
	}
	if log := b.stderr.String(); !strings.Contains(log, told) {
		t.Errorf("the log does not warn: %q", log)
	}
}

func TestWrongFaultsAreRefused(t *testing.T) {
	t.Setenv("TOPIQ_FAULTS", "nowhere=kill")
	if o := topiq(t, "", "serve", "--store=memory:"); o.code != exitUsage || !strings.Contains(o.stderr, "nowhere") {
		t.Errorf("%+v", o)
	}
}

// TestFaultsKillAtEachPoint: the broker dies where it is told to, and the message is stored once in the
// end.
func TestFaultsKillAtEachPoint(t *testing.T) {
	for _, point := range []string{
		"produce.before_begin", "produce.after_lock", "produce.after_check", "produce.after_insert",
		"produce.before_commit", "produce.after_commit_before_reply", "produce.mid_reply",
		"group.before_flush", "group.after_flush_before_fanout",
	} {
		t.Run(point, func(t *testing.T) {
			store := "sqlite:" + filepath.Join(t.TempDir(), "topiq.db")
			t.Setenv("TOPIQ_FAULTS", point+"=kill")
			b := serve(t, store)
			t.Setenv("TOPIQ_FAULTS", "")
			produced := make(chan outcome, 1)
			go func() { produced <- topiq(t, "once\n", "produce", "t", "--name=p", "--url="+b.url) }()
			<-b.ended
			if status, ok := b.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				t.Fatalf("the broker ended with %v: %s", b.err, b.stderr.String())
			}
			b = b.again(t, store)
			if o := <-produced; o.code != exitOK {
				t.Fatalf("produce: %+v", o)
			}
			if got := mustTopiq(t, "", "consume", "t", "--url="+b.url); got != "once\n" {
				t.Errorf("stored: %q", got)
			}
		})
	}
}
