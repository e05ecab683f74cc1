//go:build browser

package browsertest

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestAuthorize: a person who opens /docs of a broker that asks for tokens is refused, enters his token by
// "Authorize", and is let in. The token is in no address.
func TestAuthorize(t *testing.T) {
	t.Parallel()
	program, store := buildTopiq(t), "--store=sqlite:"+filepath.Join(t.TempDir(), "topiq.db")
	output, err := exec.CommandContext(t.Context(), program, "tokens", "create", store, "--name=person", "--scope=produce:browser").Output()
	if err != nil {
		t.Fatalf("topiq tokens create: %v", err)
	}
	token := strings.TrimSpace(string(output))
	origin := serve(t, program, store, "--auth")
	b := openBrowser(t, origin)
	b.do("opening /docs", chromedp.Navigate(origin+"/docs"), chromedp.WaitVisible(".opblock"))

	register := b.open("producers", "registerProducer").body(`{"topic": "browser"}`)
	if status, text := register.ask(); status != "401" || !strings.Contains(text, "unauthorized") {
		t.Errorf("without a token the page shows %s: %s", status, text)
	}
	b.do("Authorize",
		click(".scheme-container .btn.authorize"),
		enter("#auth-bearer-value", token),
		click(".auth-container .btn.authorize"),
		click(".auth-container .btn-done"))
	b.do("clearing the answer", click(register.selector+".btn-clear"))
	if register.execute().ProducerID == nil {
		t.Error("no producer_id")
	}
	other := b.open("topics", "deleteTopic").parameters(map[string]string{"topic": "browser"})
	if status, text := other.ask(); status != "403" || !strings.Contains(text, "forbidden") {
		t.Errorf("what the token does not allow is shown as %s: %s", status, text)
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.ContainsFunc(b.requests, func(url string) bool { return strings.Contains(url, token) }) {
		t.Errorf("the token is in an address: %q", b.requests)
	}
	if len(b.strays) > 0 {
		t.Errorf("requests left the origin: %q", b.strays)
	}
}
