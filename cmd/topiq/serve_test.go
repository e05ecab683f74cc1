package main

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/topiq/topiq/db/postgres/pgtest"
)

// TestServeRefusesOtherMachines checks that nobody opens the broker to a network by accident.
func TestServeRefusesOtherMachines(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0"} {
		t.Run(addr, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "topiq.db")
			o := topiq(t, "", "serve", "--addr="+addr, "--store=sqlite:"+file)
			if o.code != exitUsage || !strings.Contains(o.stderr, "make one with topiq tokens create and start with --auth") ||
				!strings.Contains(o.stderr, "--insecure-no-auth") {
				t.Errorf("exit code %d, stderr %q", o.code, o.stderr)
			}
			checkOneLine(t, o)
			if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the store was touched: %v", err)
			}
		})
	}
	t.Run("unless asked to", func(t *testing.T) {
		t.Parallel()
		b := serveHere(t, "--store=memory:", "--addr=0.0.0.0:0", "--insecure-no-auth", "--allow-host=log.example.com")
		unsafe := infoOf(t, b.url).Unsafe
		if len(unsafe) != 1 || !strings.Contains(unsafe[0], "insecure-no-auth") {
			t.Errorf("/info tells of %q", unsafe)
		}
		for host, want := range map[string]int{
			"log.example.com:80": http.StatusOK, "other.example.com": http.StatusMisdirectedRequest,
		} {
			if got := statusAs(t, b.url, host); got != want {
				t.Errorf("Host: %s: %d, want %d", host, got, want)
			}
		}
	})
	t.Run("any name", func(t *testing.T) {
		t.Parallel()
		b := serveHere(t, "--store=memory:", "--allow-host=*")
		if got := statusAs(t, b.url, "other.example.com"); got != http.StatusOK {
			t.Errorf("Host: other.example.com: %d", got)
		}
		if unsafe := infoOf(t, b.url).Unsafe; len(unsafe) != 1 || !strings.Contains(unsafe[0], "allow-host *") {
			t.Errorf("/info tells of %q", unsafe)
		}
	})
}

// statusAs asks for /healthz under a name.
func statusAs(t *testing.T, url, host string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func TestServeLine(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	b := serveHere(t, "--store="+url+separator+"password=s3cret", "--log-format=json", "--log-level=debug")
	want := regexp.MustCompile(`^topiq dev listens on http://127\.0\.0\.1:[1-9]\d* and keeps messages in ` +
		`postgres(ql)?://\S+password=xxxxx; how to use it: http://127\.0\.0\.1:\d+/docs\n$`)
	if !want.MatchString(b.line) {
		t.Errorf("%q does not match %s", b.line, want)
	}
	if code := b.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	logs := b.stderr.String()
	if strings.Contains(logs, "s3cret") || !strings.Contains(logs, `"msg":"serving"`) || !strings.Contains(logs, `"msg":"stopped"`) {
		t.Errorf("logs:\n%s", logs)
	}
}

func TestServeFailures(t *testing.T) {
	t.Parallel()
	taken := strings.TrimPrefix(serveHere(t, "--store=memory:").url, "http://")
	file := filepath.Join(t.TempDir(), "topiq.db")
	serveHere(t, "--store=sqlite:"+file)
	for want, args := range map[string][]string{
		"address already in use": {"--store=memory:", "--addr=" + taken},
		"is not a store":         {"--store=topiq.db"},
		"sqlite:" + file:         {"--store=sqlite:" + file},
		"no such host":           {"--store=memory:", "--addr=nobody.invalid:0"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			o := topiq(t, "", append([]string{"serve", "--addr=127.0.0.1:0"}, args...)...)
			if o.code != exitFailure || !strings.Contains(o.stderr, want) || o.stdout != "" {
				t.Errorf("exit code %d, stdout %q, stderr %q", o.code, o.stdout, o.stderr)
			}
		})
	}
}
