//go:build browser

package browsertest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/fetch"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is one tab of a headless browser, and what its page did.
type browser struct {
	t      *testing.T
	ctx    context.Context //nolint:containedctx // The library knows the tab by it.
	origin string

	mu       sync.Mutex
	requests []string // All URLs that the page asked for.
	strays   []string // Those that are not of the origin. They are not sent.
	errors   []string // What the console shows in red, such as violations of the page's policy.
}

// openBrowser starts a browser, which ends with the test. Its pages reach
// nothing but the origin.
func openBrowser(t *testing.T, origin string) *browser {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(findBrowser(t)),
		chromedp.Headless,
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck,
		chromedp.WindowSize(1400, 1000),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-extensions", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.WSURLReadTimeout(time.Minute),
	}
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // The sandbox refuses to be run by root.
	}
	home, err := os.MkdirTemp("", "topiq-browser") //nolint:usetesting // What a browser writes at its end would fail the test.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	options = append(options, chromedp.UserDataDir(filepath.Join(home, "profile")), chromedp.Env("HOME="+home, "TMPDIR="+home))

	ctx, stop := context.WithTimeout(context.WithoutCancel(t.Context()), 3*time.Minute)
	t.Cleanup(stop)
	ctx, kill := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(kill)
	ctx, closeTab := chromedp.NewContext(ctx, chromedp.WithErrorf(t.Logf))
	t.Cleanup(closeTab)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // Unlike the others, this waits for the end.

	b := &browser{t: t, ctx: ctx, origin: origin}
	chromedp.ListenTarget(ctx, b.listen)
	b.do("starting the browser", network.Enable(), cdplog.Enable(), runtime.Enable(), fetch.Enable())
	return b
}

// findBrowser returns the path of a browser.
func findBrowser(t *testing.T) string {
	t.Helper()
	names := []string{
		"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("no browser: install Chromium or Chrome, or run make test-browser as root on Debian; looked for %s",
		strings.Join(names, ", "))
	return ""
}

// listen notes what the page does, and lets pass only what goes to the origin.
func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch event := event.(type) {
	case *fetch.EventRequestPaused:
		url := event.Request.URL
		b.requests = append(b.requests, url)
		var verdict chromedp.Action = fetch.ContinueRequest(event.RequestID)
		if !b.ours(url) {
			b.strays = append(b.strays, url)
			verdict = fetch.FailRequest(event.RequestID, network.ErrorReasonBlockedByClient)
		}
		// Whoever listens must not wait for the browser.
		go func() { _ = chromedp.Run(b.ctx, verdict) }()
	case *network.EventRequestWillBeSent:
		if url := event.Request.URL; !b.ours(url) {
			b.strays = append(b.strays, url)
		}
	case *network.EventWebSocketCreated:
		b.strays = append(b.strays, event.URL)
	case *cdplog.EventEntryAdded:
		if event.Entry.Level == cdplog.LevelError {
			b.errors = append(b.errors, event.Entry.Text+" "+event.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		b.errors = append(b.errors, event.ExceptionDetails.Error())
	}
}

func (b *browser) ours(url string) bool {
	return strings.HasPrefix(url, b.origin+"/") || strings.HasPrefix(url, "data:") || strings.HasPrefix(url, "blob:")
}

// do runs actions, and ends the test if one fails or takes too long.
func (b *browser) do(what string, actions ...chromedp.Action) {
	b.t.Helper()
	if err := b.try(actions...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

func (b *browser) try(actions ...chromedp.Action) error {
	// The first run starts the browser, which would end with a context of its own.
	if chromedp.FromContext(b.ctx).Target == nil {
		return chromedp.Run(b.ctx, actions...)
	}
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	return chromedp.Run(ctx, actions...)
}
