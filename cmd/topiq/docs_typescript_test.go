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

// TestDocumentedTypeScript compiles and runs the programs in TypeScript that documents show, with types
// that are generated from a broker by the command that client/typescript/README.md shows. It needs
// the packages of client/typescript: `make test-clients` installs them and runs it.
func TestDocumentedTypeScript(t *testing.T) {
	t.Parallel()
	project, err := filepath.Abs(filepath.Join(docsRoot, "client", "typescript"))
	if err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(project, "node_modules")
	if _, err := os.Stat(filepath.Join(modules, ".package-lock.json")); err != nil {
		t.Fatal(err)
	}
	dir, url := t.TempDir(), serveHere(t, "--store=memory:").url
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "package.json"), `{"type":"module"}`)
	writeFile(t, filepath.Join(dir, "tsconfig.json"), `{"extends":`+quoted(t, filepath.Join(project, "tsconfig.json"))+
		`,"compilerOptions":{"rootDir":".","outDir":"dist"},"include":["*.ts"]}`)
	npx(t, dir, generateCommand(t, project, url)...)
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

// generateCommand is the command that makes the types, as client/typescript/README.md shows it. The
// versions it shows must be those that are installed here.
func generateCommand(t *testing.T, project, url string) (command []string) {
	t.Helper()
	var manifest struct{ Dependencies, DevDependencies map[string]string }
	content, err := os.ReadFile(filepath.Join(project, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &manifest); err != nil {
		t.Fatal(err)
	}
	for _, b := range readDocument(t, filepath.Join(docsRoot, "client", "typescript", "README.md")).blocks {
		for line := range strings.Lines(b.text) {
			for _, found := range regexp.MustCompile(`(\S+)@(\d\S*)`).FindAllStringSubmatch(line, -1) {
				if version := manifest.Dependencies[found[1]] + manifest.DevDependencies[found[1]]; version != found[2] {
					t.Errorf("client/typescript/README.md shows %s, package.json has %q", found[0], version)
				}
			}
			if strings.HasPrefix(line, "npx openapi-typescript ") {
				command = strings.Fields(strings.ReplaceAll(line, "http://127.0.0.1:8080", url))
			}
		}
	}
	if command == nil {
		t.Fatal("client/typescript/README.md does not show how the types are made")
	}
	return command
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
