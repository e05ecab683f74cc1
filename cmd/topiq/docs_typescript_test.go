//go:build typescript

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocumentedTypeScript does what client/typescript/README.md shows, in an empty project: installs the
// packages, makes types from a broker, and compiles and runs the programs that documents show. It needs npm and
// its registry: `make test-clients` runs it.
func TestDocumentedTypeScript(t *testing.T) {
	t.Parallel()
	project, err := filepath.Abs(filepath.Join(docsRoot, "client", "typescript"))
	if err != nil {
		t.Fatal(err)
	}
	dir, url := t.TempDir(), serveHere(t, "--store=memory:").url
	writeFile(t, filepath.Join(dir, "package.json"), `{"type":"module"}`)
	writeFile(t, filepath.Join(dir, "tsconfig.json"), `{"extends":`+quoted(t, filepath.Join(project, "tsconfig.json"))+
		`,"compilerOptions":{"types":[],"lib":["es2023","dom"],"rootDir":".","outDir":"dist"},"include":["*.ts"]}`)
	setUp := exec.CommandContext(t.Context(), needs(t, "bash"), "-euc",
		strings.ReplaceAll(projectBlock(t, project), "http://127.0.0.1:8080", url))
	setUp.Dir = dir
	if output, err := setUp.CombinedOutput(); err != nil {
		t.Fatalf("client/typescript/README.md: %v\n%s", err, output)
	}
	programs := blocksOf(t, "ts")
	for i, b := range programs {
		name := fmt.Sprint("documented_", i)
		writeFile(t, filepath.Join(dir, name+".ts"), strings.ReplaceAll(b.text, "http://127.0.0.1:8080", url))
	}
	npx(t, dir, "npx", "tsc")
	for i, b := range programs {
		cmd := exec.CommandContext(t.Context(), needs(t, "node"), fmt.Sprintf("documented_%d.js", i))
		cmd.Dir = filepath.Join(dir, "dist")
		output, err := cmd.CombinedOutput()
		if err != nil || !regexp.MustCompile(`^stored at offset \d+\n$`).Match(output) {
			t.Errorf("%s:%d: %v: %s", b.document, b.line, err, output)
		}
	}
}

// projectBlock is the block that client/typescript/README.md shows for a project of one's own. The versions it
// shows must be those of the example.
func projectBlock(t *testing.T, project string) string {
	t.Helper()
	var manifest struct{ Dependencies, DevDependencies map[string]string }
	content, err := os.ReadFile(filepath.Join(project, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &manifest); err != nil {
		t.Fatal(err)
	}
	blocks := readDocument(t, filepath.Join(docsRoot, "client", "typescript", "README.md")).blocks
	if len(blocks) != 1 {
		t.Fatalf("client/typescript/README.md has %d blocks, want one", len(blocks))
	}
	text := blocks[0].text
	for _, found := range regexp.MustCompile(`(\S+)@(\d\S*)`).FindAllStringSubmatch(text, -1) {
		if version := manifest.Dependencies[found[1]] + manifest.DevDependencies[found[1]]; version != found[2] {
			t.Errorf("client/typescript/README.md shows %s, package.json has %q", found[0], version)
		}
	}
	return text
}

// npx runs a program of an installed package. It never asks the network for one.
func npx(t *testing.T, dir string, command ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), needs(t, "npx"), slices.Concat([]string{"--no-install"}, command[1:])...)
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, output)
	}
}

func quoted(t *testing.T, text string) string {
	t.Helper()
	b, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
