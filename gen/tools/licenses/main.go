// Command licenses writes the licence texts of all that is compiled into bin/topiq: of topiq itself, of Go, and of each
// module, for every system that topiq is built for. A module without a text is an error.
//
//	licenses ROOT OUTPUT
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: licenses ROOT OUTPUT")
	}
	parts, err := parts(args[0])
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := write(&text, parts); err != nil {
		return err
	}
	return os.WriteFile(args[1], text.Bytes(), 0o644)
}

// part is something that has its own licence.
type part struct {
	name  string   // with the version
	files []string // with licences, sorted
}

// packageInfo is what `go list` says of one package.
type packageInfo struct {
	Dir    string
	Module *struct {
		Path, Version, Dir string
		Main               bool
		Replace            *struct{ Dir string }
	}
}

// parts lists topiq, Go, and the modules in the order of their names.
func parts(root string) ([]part, error) {
	goroot, err := output(root, "", "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	modules := map[string]map[string]bool{} // name → files
	for _, system := range []string{"linux", "darwin", "windows"} {
		listed, err := output(root, system, "go", "list", "-deps", "-json=Dir,Module", "./cmd/topiq")
		if err != nil {
			return nil, err
		}
		for decoder := json.NewDecoder(strings.NewReader(listed)); ; {
			var p packageInfo
			if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			if p.Module == nil || p.Module.Main {
				continue
			}
			name := p.Module.Path + " " + p.Module.Version
			if modules[name] == nil {
				modules[name] = map[string]bool{}
			}
			if err := collect(modules[name], p.Dir, p.Module.Dir); err != nil {
				return nil, err
			}
		}
	}
	list := []part{
		{"github.com/topiq/topiq", []string{filepath.Join(root, "LICENSE")}},
		{"Go, its runtime and standard library", []string{
			filepath.Join(strings.TrimSpace(goroot), "LICENSE"), filepath.Join(strings.TrimSpace(goroot), "PATENTS"),
		}},
		// Its files are in the module swgui, but not its licence, which is the same as that of topiq.
		{"Swagger UI, copyright 2020 SmartBear Software Inc., in github.com/swaggest/swgui", []string{filepath.Join(root, "LICENSE")}},
	}
	var names []string
	for name := range modules {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p := part{name: name}
		for file := range modules[name] {
			p.files = append(p.files, file)
		}
		slices.Sort(p.files)
		if len(p.files) == 0 {
			return nil, fmt.Errorf("%s has no licence text", name)
		}
		list = append(list, p)
	}
	return list, nil
}

// collect finds the licences of a package: in its directory, where code of others may have one of its own, and in those
// above it up to the root of the module.
func collect(into map[string]bool, dir, root string) error {
	for d := dir; strings.HasPrefix(d, root); d = filepath.Dir(d) {
		entries, err := os.ReadDir(d)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if entry.Type().IsRegular() && licence().MatchString(entry.Name()) {
				into[filepath.Join(d, entry.Name())] = true
			}
		}
	}
	return nil
}

// licence is how files with licences are called.
func licence() *regexp.Regexp {
	return regexp.MustCompile(`(?i)^(.*-)?(un)?licen[cs]es?([._-].*)?$|^(copying|notice|patents|copyright)([._-].*)?$`)
}

// output runs a command and returns what it writes.
func output(dir, system, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	// The module of this tool must not be taken for that of topiq.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "PWD="+dir)
	if system != "" {
		cmd.Env = append(cmd.Env, "GOOS="+system, "GOARCH=amd64")
	}
	text, err := cmd.Output()
	return string(text), err
}

// write puts each text down once, below all that has it.
func write(to io.Writer, parts []part) error {
	var texts []string
	owners := map[string][]string{}
	for _, p := range parts {
		for _, file := range p.files {
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			text := normal(string(content))
			if owners[text] == nil {
				texts = append(texts, text)
			}
			if !slices.Contains(owners[text], p.name) {
				owners[text] = append(owners[text], p.name)
			}
		}
	}
	fmt.Fprintln(to, "What this program is made of, and under which licences.")
	for _, text := range texts {
		fmt.Fprintf(to, "\n%s\n\n", strings.Repeat("=", 80))
		for _, owner := range owners[text] {
			fmt.Fprintln(to, owner)
		}
		fmt.Fprintf(to, "\n%s\n\n%s\n", strings.Repeat("-", 80), text)
	}
	return nil
}

// normal is a text without what differs between two copies of it: ends of lines, spaces there, and empty lines around it.
func normal(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}
