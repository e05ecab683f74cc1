package main

import (
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/topiq/topiq/gen"
)

// docsRoot is where the documents are.
const docsRoot = "../.."

// document is a file for people to read.
type document struct {
	path   string // from there
	text   string
	prose  string // what is not in a block
	blocks []block
}

// block is what stands between two lines of ```.
type block struct {
	document string
	language string
	line     int // of the first line of its text
	text     string
}

// first is the first line, by which the lists below name a block.
func (b *block) first() string {
	line, _, _ := strings.Cut(b.text, "\n")
	return b.document + ": " + line
}

// documents reads all documents.
func documents(t *testing.T) []document {
	t.Helper()
	var found []document
	err := filepath.WalkDir(docsRoot, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains([]string{".git", "node_modules", "testdata", "bin"}, entry.Name()) {
			return fs.SkipDir
		}
		if filepath.Ext(name) == ".md" {
			found = append(found, readDocument(t, name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func readDocument(t *testing.T, name string) document {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(docsRoot, name)
	if err != nil {
		t.Fatal(err)
	}
	d := document{path: filepath.ToSlash(relative), text: string(content)}
	var open *block
	for i, line := range strings.Split(d.text, "\n") {
		language, fence := strings.CutPrefix(strings.TrimLeft(line, " "), "```")
		switch {
		case fence && open == nil:
			open = &block{document: d.path, language: language, line: i + 2}
		case fence:
			d.blocks = append(d.blocks, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		default:
			d.prose += line + "\n"
		}
	}
	if open != nil {
		t.Errorf("%s: the block that begins at line %d does not end", d.path, open.line-1)
	}
	return d
}

// blocksOf lists the blocks of a language in all documents.
func blocksOf(t *testing.T, language string) (found []block) {
	t.Helper()
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			if b.language == language {
				found = append(found, b)
			}
		}
	}
	return found
}

// languages are those a block may have, and who looks at it. An unknown one would be looked at by
// nobody.
func languages() map[string]string {
	return map[string]string{
		"sh":     "TestDocumentedCommands",
		"go":     "TestDocumentedCommands",
		"ts":     "TestDocumentedTypeScript",
		"js":     "TestDocumentedEventSource of api/browsertest",
		"text":   "TestDocumentedCommands, where it follows a block of sh or go; else it is a drawing",
		"python": "nobody: docs/clients.md says that it was run by hand",
		"":       "nobody: what a block run by hand has written",
	}
}

func TestDocumentsHaveKnownBlocks(t *testing.T) {
	t.Parallel()
	byHand := map[string]bool{"python": true, "": true}
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			if _, known := languages()[b.language]; !known {
				t.Errorf("%s:%d: no test looks at blocks of %q", d.path, b.line, b.language)
			}
			if byHand[b.language] && !strings.Contains(d.prose, "by hand") {
				t.Errorf("%s:%d: nobody runs this, and the document does not say that it was run by hand", d.path, b.line)
			}
		}
	}
}

// TestDocumentLinks checks that what a document leads to is there.
func TestDocumentLinks(t *testing.T) {
	t.Parallel()
	for _, d := range documents(t) {
		for _, found := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(d.prose, -1) {
			link, err := url.Parse(found[1])
			if err != nil {
				t.Errorf("%s: %v", d.path, err)
				continue
			}
			if link.Scheme != "" {
				continue
			}
			target := path.Join(path.Dir(d.path), link.Path)
			if link.Path == "" {
				target = d.path
			}
			if _, err := os.Stat(filepath.Join(docsRoot, filepath.FromSlash(target))); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", d.path, found[1])
			} else if link.Fragment != "" && !slices.Contains(anchors(t, target), link.Fragment) {
				t.Errorf("%s: there is no heading for the link to %s", d.path, found[1])
			}
		}
	}
}

// anchors are the headings of a document as links name them.
func anchors(t *testing.T, name string) (found []string) {
	t.Helper()
	d := readDocument(t, filepath.Join(docsRoot, filepath.FromSlash(name)))
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(d.prose, -1) {
		text := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		found = append(found, strings.ReplaceAll(text, " ", "-"))
	}
	return found
}

// TestDocumentsStandAlone checks that no document leads to what a stranger does not have.
func TestDocumentsStandAlone(t *testing.T) {
	t.Parallel()
	for _, d := range documents(t) {
		for _, word := range []string{"/home/", "/root/", "/tmp/"} {
			if strings.Contains(d.text, word) {
				t.Errorf("%s mentions %s", d.path, word)
			}
		}
	}
}

// docsModel is the command line as kong knows it.
func docsModel(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := kong.New(&commands{}, kong.Name("topiq"), kong.DefaultEnvars("TOPIQ"),
		kong.ExplicitGroups(groups()), kong.Vars{"version": ""})
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// everywhere are the flags that each command has.
func everywhere() []string { return []string{"help", "version"} }

// documentedFlag is a row of a table in docs/operations.md: a flag, where it is set in the
// environment, and its default.
type documentedFlag struct{ name, env, value string }

// flagsOf lists the flags of one command.
func flagsOf(command *kong.Node) (found []documentedFlag) {
	for _, flag := range command.Flags {
		value := "none"
		switch {
		case flag.IsBool():
			value = "off"
		case flag.HasDefault:
			value = "`" + flag.Default + "`"
		}
		env := "none"
		if len(flag.Envs) > 0 {
			env = "`" + strings.Join(flag.Envs, "` `") + "`"
		}
		found = append(found, documentedFlag{"`--" + flag.Name + "`", env, value})
	}
	return found
}

// TestOperationsHasEveryFlag compares the tables in docs/operations.md with the command line.
func TestOperationsHasEveryFlag(t *testing.T) {
	t.Parallel()
	documented := map[string][]documentedFlag{}
	var command string
	for line := range strings.SplitSeq(readDocument(t, filepath.Join(docsRoot, "docs", "operations.md")).prose, "\n") {
		if heading, ok := strings.CutPrefix(line, "#"); ok {
			command = ""
			if found := regexp.MustCompile("^## `(topiq .*)`$").FindStringSubmatch(heading); found != nil {
				command = found[1]
				documented[command] = nil
			}
		}
		cells := strings.Split(line, "|")
		if command == "" || len(cells) < 5 || !strings.HasPrefix(cells[1], " `--") {
			continue
		}
		if len(cells) != 7 || strings.TrimSpace(cells[5]) == "" {
			t.Errorf("%s: not a flag, its variable, default, unit and meaning: %s", command, line)
			continue
		}
		flag := documentedFlag{strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3])}
		documented[command] = append(documented[command], flag)
	}
	existing := map[string][]documentedFlag{}
	for _, leaf := range docsModel(t).Leaves(true) { // without those that are hidden
		existing[leaf.FullPath()] = flagsOf(leaf)
	}
	for name := range maps.Keys(existing) {
		if _, ok := documented[name]; !ok {
			t.Errorf("docs/operations.md has no heading `%s`", name)
		}
	}
	for name, flags := range documented {
		want, ok := existing[name]
		if !ok {
			t.Errorf("docs/operations.md describes `%s`, which does not exist", name)
		}
		for _, flag := range want {
			if !slices.Contains(flags, flag) {
				t.Errorf("docs/operations.md: %s lacks the row | %s | %s | %s |", name, flag.name, flag.env, flag.value)
			}
		}
		for _, flag := range flags {
			if !slices.Contains(want, flag) {
				t.Errorf("docs/operations.md: %s has no flag | %s | %s | %s |", name, flag.name, flag.env, flag.value)
			}
		}
	}
}

// spans are the pieces of code in a document: `…`, and the lines of blocks of shell.
func (d *document) spans() (found []string) {
	for _, span := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(d.prose, -1) {
		found = append(found, span[1])
	}
	for _, b := range d.blocks {
		if b.language == "sh" {
			found = append(found, strings.Split(b.text, "\n")...)
		}
	}
	return found
}

// TestDocumentedNames checks that flags, commands, variables and targets which a document names exist.
func TestDocumentedNames(t *testing.T) {
	t.Parallel()
	flags, variables, names := map[string]bool{}, map[string]bool{}, map[string]bool{}
	application := docsModel(t)
	for _, leaf := range append(application.Leaves(false), application.Node) {
		for node := leaf; node != nil; node = node.Parent {
			names[node.FullPath()] = true
		}
		for _, flag := range leaf.Flags {
			flags[flag.Name] = true
			for _, env := range flag.Envs {
				variables[env] = true
			}
		}
	}
	for _, name := range everywhere() {
		flags[name] = true
	}
	for _, other := range []string{"TOPIQ_TOKEN", "TOPIQ_TEST_POSTGRES_URL", "TOPIQ_FAULTS", "TOPIQ_CLOCK_FILE", "TOPIQ_MISTAKE"} {
		variables[other] = true
	}
	targets := makeTargets(t)
	for _, d := range documents(t) {
		for _, span := range d.spans() {
			for _, found := range regexp.MustCompile(`\bmake ([a-z-]+)`).FindAllStringSubmatch(span, -1) {
				if !targets[found[1]] {
					t.Errorf("%s: there is no target for %q", d.path, found[0])
				}
			}
			for _, env := range regexp.MustCompile(`\bTOPIQ_[A-Z_]+`).FindAllString(span, -1) {
				if !variables[env] {
					t.Errorf("%s: there is no variable %s", d.path, env)
				}
			}
			command := regexp.MustCompile(`\b(topiq [a-z]+)( [a-z-]+)?`).FindStringSubmatch(span)
			if command != nil && (!names[command[1]] || !names[command[0]] && hasCommands(application, command[1])) {
				t.Errorf("%s: there is no command for %q", d.path, span)
			}
			if command == nil && !strings.HasPrefix(span, "--") {
				continue // of another program
			}
			for _, flag := range regexp.MustCompile(`--([a-z][a-z-]+)`).FindAllStringSubmatch(span, -1) {
				if !flags[flag[1]] {
					t.Errorf("%s: there is no flag for %q", d.path, flag[0])
				}
			}
		}
	}
}

// hasCommands reports whether a command has commands of its own.
func hasCommands(application *kong.Application, command string) bool {
	return slices.ContainsFunc(application.Leaves(false), func(leaf *kong.Node) bool {
		return strings.HasPrefix(leaf.FullPath(), command+" ")
	})
}

// makeTargets are the targets of the Makefile that make shows.
func makeTargets(t *testing.T) map[string]bool {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(docsRoot, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^([a-z-]+):.*## `).FindAllStringSubmatch(string(content), -1) {
		targets[found[1]] = true
	}
	return targets
}

// TestGuaranteesHasEveryCode checks that each code of the contract is in the table, and each of the table
// in the contract.
func TestGuaranteesHasEveryCode(t *testing.T) {
	t.Parallel()
	schema := regexp.MustCompile(`(?s)\n    FailureCode:\n.*?enum:\n(.*?)\n    [A-Z]`).FindStringSubmatch(string(gen.Document))
	if schema == nil {
		t.Fatal("openapi.yaml has no enum of FailureCode where this test looks for it")
	}
	var want []string
	for _, code := range regexp.MustCompile(`(?m)^ +- ([a-z_]+)$`).FindAllStringSubmatch(schema[1], -1) {
		want = append(want, code[1])
	}
	_, section, _ := strings.Cut(readDocument(t, filepath.Join(docsRoot, "docs", "guarantees.md")).prose, "## Every code")
	section, _, _ = strings.Cut(section, "\n## ")
	var got []string
	for _, row := range regexp.MustCompile(`(?m)^\| (.*?) \|`).FindAllStringSubmatch(section, -1) {
		for _, code := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[1], -1) {
			got = append(got, code[1])
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("docs/guarantees.md has the codes\n%q, openapi.yaml has\n%q", got, want)
	}
}

// TestFileMap checks that docs/architecture.md has a line for every file of the layers, and for none that
// is not there.
func TestFileMap(t *testing.T) {
	t.Parallel()
	_, section, _ := strings.Cut(readDocument(t, filepath.Join(docsRoot, "docs", "architecture.md")).prose, "## File map")
	listed := map[string]bool{}
	var dir string
	for line := range strings.SplitSeq(section, "\n") {
		if heading := regexp.MustCompile("^### (?:`(.*)/`)?").FindStringSubmatch(line); heading != nil {
			dir = heading[1]
		}
		row := regexp.MustCompile("^\\| (`.*?`) \\|").FindStringSubmatch(line)
		if row == nil {
			continue
		}
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			matches, err := filepath.Glob(filepath.Join(docsRoot, filepath.FromSlash(dir), filepath.FromSlash(name[1])))
			if err != nil || len(matches) == 0 {
				t.Errorf("docs/architecture.md lists %s, which is not there", path.Join(dir, name[1]))
			}
			for _, match := range matches {
				listed[match] = true
			}
		}
	}
	for _, dir := range []string{"cmd/topiq", "api", "service", "db", "db/memory", "db/postgres", "db/sqlite", "api/metrics", "api/traces", "fault", "client", "client/oteltopiq"} {
		files, err := filepath.Glob(filepath.Join(docsRoot, filepath.FromSlash(dir), "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files in %s: %v", dir, err)
		}
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") && !listed[file] {
				t.Errorf("docs/architecture.md does not list %s in its file map", path.Join(dir, filepath.Base(file)))
			}
		}
	}
}

// needs ends a test that cannot do its work without a program, and says how to get it.
func needs(t *testing.T, program string) string {
	t.Helper()
	found, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("the commands in the documents need %s (Debian: apt-get install %s): %v", program, program, err)
	}
	return found
}
