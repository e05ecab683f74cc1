package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestComplete checks what each place of a command line may become.
func TestComplete(t *testing.T) {
	t.Parallel()
	url := serveHere(t, "--store=memory:").url
	for _, name := range []string{"orders", "orders.eu", "invoices"} {
		mustTopiq(t, "", "topics", "create", name, "--url="+url)
	}
	for _, test := range []struct{ line, want string }{
		{"co|", "consume consumers completion"},
		{"topics |", "list create describe set delete"},
		{"topics de|", "describe delete"},
		{"topics describe o|", "orders orders.eu"},
		{"consume |", "invoices orders orders.eu"},
		{"consume orders |", ""},
		{"consume --limit 3 --follow i|", "invoices"},
		{"consume --limit=3 i|", "invoices"},
		{"consume -- i|", "invoices"},
		{"consume --url http://127.0.0.1:1 |", ""},
		{"consume --url=http://127.0.0.1:1 |", ""},
		{"consume --f|", "--from --follow"},
		{"consume --from |", "beginning end"},
		{"consume --from=b|", "--from=beginning"},
		{"consume --from = e|", "end"}, // as bash cuts it
		{"consume --limit |", ""},
		{"consume --bogus=|", ""},
		{"seek orders --to |", "beginning end"},
		{"produce orders |", ":files"},
		{"produce orders file |", ""},
		{"completion |", "bash zsh fish"},
		{"serve --log-format=|", "--log-format=text --log-format=json"},
		{"help top|", "topics"},
		{"help topics l|", "list"},
		{"-|", "--help --version"},
		{"bogus x|", ""},
		{"__c|", ""},
	} {
		before, _ := strings.CutSuffix(test.line, "|")
		args := append([]string{"__complete", "--url=" + url, "--"}, strings.Split(before, " ")...)
		var found []string
		for line := range strings.Lines(mustTopiq(t, "", args...)) {
			text, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			found = append(found, text)
		}
		if got := strings.Join(found, " "); got != test.want {
			t.Errorf("%s: %s; want %s", test.line, got, test.want)
		}
	}
}

// TestCompletionScripts reads each script with its shell, where there is one, and lets bash complete.
func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			script := filepath.Join(dir, "topiq."+shell)
			writeFile(t, script, mustTopiq(t, "", "completion", shell))
			if _, err := exec.LookPath(shell); err != nil {
				t.Skip("this machine has no ", shell, "; .ci/run installs it")
			}
			if out, err := exec.CommandContext(t.Context(), shell, "-n", script).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// TestBashCompletes lets bash complete with the script, and topiq behind it.
func TestBashCompletes(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Fatal(err)
	}
	url := serveHere(t, "--store=memory:").url
	mustTopiq(t, "", "topics", "create", "orders", "--url="+url)
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(executable, filepath.Join(dir, "topiq")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "some file"), "")
	const script = `
source <(topiq completion bash)
complete() {
	COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _topiq topiq "${COMP_WORDS[COMP_CWORD]}"
	printf '%s;' "${COMPREPLY[@]}"; echo
}
complete topiq consumer
complete topiq consume o
complete topiq consume orders --from = b
complete topiq produce orders some
complete topiq consume orders ''
`
	cmd := exec.CommandContext(t.Context(), "bash", "--norc", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asCommand+"=1", "TOPIQ_URL="+url, "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if want := "consumers;\norders;\nbeginning;\nsome file;\n;\n"; err != nil || string(out) != want {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
}
