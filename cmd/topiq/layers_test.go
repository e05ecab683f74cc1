package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/topiq/topiq"

// layer is the import rule of one package.
type layer struct {
	name string // Path within the module.
	// allow lists the packages of this module which it may import. As every
	// package has such a list, what it may reach is limited too.
	allow []string
	// ban lists packages of others which it must not reach by any way, banDirect
	// those which it must not import itself. "x/..." means x and all beneath.
	ban, banDirect []string
	reason         string
	// optional packages may be missing. Helpers exist for tests: they may
	// import testing, and no list above names one but that of another helper.
	optional, helper bool
}

func layers() []layer {
	const (
		pgx    = "github.com/jackc/pgx/..."
		sqlite = "modernc.org/sqlite/..."
		echo   = "github.com/labstack/echo/..."
	)
	list := []layer{
		{
			name: "service", allow: []string{"fault"},
			ban:       []string{pgx, sqlite, echo, "database/sql"},
			banDirect: []string{"net/http", "database/sql/..."},
			reason:    "service is the centre: it knows no SQL, no HTTP and nothing else of this module",
		},
		{
			name: "fault", ban: []string{"os", "math/rand/v2"},
			reason: "fault is empty without its build tags: it depends on nothing and reads no environment",
		},
		{
			name: "api", allow: []string{"service", "api/metrics", "fault", "gen", "gen/wire", "gen/wireserver"},
			ban: []string{pgx, sqlite}, banDirect: []string{"database/sql/..."},
			reason: "api turns HTTP into calls of service and does nothing else",
		},
		{
			name: "api/metrics", allow: []string{"service"}, ban: []string{pgx, sqlite, echo}, banDirect: []string{"database/sql/..."},
			reason: "metrics shows what service tells, and knows no engine",
		},
		{
			name: "api/traces", allow: []string{"service"}, ban: []string{pgx, sqlite, echo, "go.opentelemetry.io/otel/sdk/..."},
			banDirect: []string{"database/sql/..."},
			reason:    "traces makes spans of what service and net/http tell, and leaves to its caller where they go",
		},
		{
			name: "client/oteltopiq", allow: []string{"client"},
			ban:    []string{pgx, sqlite, echo, "database/sql", "go.opentelemetry.io/otel/sdk/..."},
			reason: "whoever traces a client must not get the server with it, nor an SDK of OpenTelemetry that he has not chosen",
		},
		{
			name: "client", allow: []string{"gen/wire", "gen/wireclient"},
			ban:    []string{pgx, sqlite, echo, "database/sql", "go.opentelemetry.io/..."},
			reason: "whoever uses the SDK must not get the server with it",
		},
		{
			name: "db", allow: []string{"service", "db/memory", "db/sqlite", "db/postgres"}, ban: []string{echo},
			reason: "db picks a store and dresses it",
		},
		{
			name: "cmd/topiq",
			allow: []string{
				"api", "service", "api/metrics", "api/traces", "db", "client", "fault", "db/postgres/pgbare", "db/sqlite/litebare",
				"gen/licenses",
			},
			reason: "the command joins the layers and goes round none",
		},
		{
			name: "cmd/topiq-bench", allow: []string{"db/postgres/pgtest"}, ban: []string{echo, sqlite}, helper: true,
			reason: "the table is measured with the program that users have",
		},
		{name: "db/postgres/pgbare", ban: []string{echo, sqlite}, reason: "pgbare is what a broker is compared with: it has nothing of one"},
		{name: "db/sqlite/litebare", ban: []string{echo, pgx}, reason: "litebare is what a broker is compared with: it has nothing of one"},
		{name: "gen/licenses", reason: "licenses holds a text, and the tool that writes it is no part of the module"},
		{name: "gen", reason: "gen holds the document and the commands that generate"},
		{
			name: "db/dbtest", allow: []string{"service", "db/memory"}, optional: true, helper: true,
			reason: "the conformance suite is the same for every store",
		},
		{name: "db/postgres/pgtest", optional: true, helper: true, reason: "pgtest starts servers and knows no store"},
		{
			name: "api/apitest", allow: []string{"api", "service", "db", "db/memory", "db/sqlite"}, optional: true, helper: true,
			reason: "apitest serves the real handler on a real store",
		},
	}
	for _, store := range []layer{
		{name: "db/memory"},
		{name: "db/sqlite", allow: []string{"gen/litesql"}},
		{name: "db/postgres", allow: []string{"gen/pgsql"}},
	} {
		store.allow = append(store.allow, "service", "fault")
		store.ban = []string{echo}
		store.reason = "a store knows the words of service and its own generated queries"
		list = append(list, store)
	}
	for _, name := range []string{"gen/wire", "gen/wireserver", "gen/wireclient", "gen/pgsql", "gen/litesql"} {
		list = append(list, layer{name: name, allow: []string{"gen/wire"}, reason: "generated code uses the wire types only"})
	}
	return list
}

// listed is what `go list` says about one package. Imports are its own, Deps
// everything it reaches; neither counts the imports of test files.
type listed struct {
	ImportPath    string
	Imports, Deps []string
	Error         *struct{ Err string }
}

// violations compares the packages of the module with the rules.
func violations(packages []listed, rules []layer) (found []string) {
	seen := map[string]bool{}
	for _, p := range packages {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		seen[name] = true
		i := slices.IndexFunc(rules, func(l layer) bool { return l.name == name })
		if i < 0 {
			found = append(found, name+" has no rule: say in layers_test.go what it may import")
			continue
		}
		found = append(found, rules[i].violations(p)...)
	}
	for _, rule := range rules {
		if !rule.optional && !seen[rule.name] {
			found = append(found, rule.name+" has a rule but does not exist")
		}
	}
	return found
}

func (l layer) violations(p listed) (found []string) {
	complain := func(verb, imported string) {
		found = append(found, fmt.Sprintf("%s %s %s: %s", l.name, verb, imported, l.reason))
	}
	for _, imported := range p.Imports {
		inner, ours := strings.CutPrefix(imported, module+"/")
		switch {
		case ours && !slices.Contains(l.allow, inner):
			complain("imports", imported)
		case matches(l.banDirect, imported), !l.helper && matches([]string{"testing/..."}, imported):
			complain("imports", imported)
		}
	}
	for _, reached := range p.Deps {
		if matches(l.ban, reached) {
			complain("reaches", reached)
		}
	}
	if p.Error != nil {
		found = append(found, l.name+" cannot be checked: "+p.Error.Err)
	}
	return found
}

func matches(patterns []string, imported string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		tree, isTree := strings.CutSuffix(pattern, "/...")
		return imported == tree || isTree && strings.HasPrefix(imported, tree+"/")
	})
}

// list runs `go list` over the module.
func list(t *testing.T, flags ...string) (packages []listed) {
	t.Helper()
	root := filepath.Join("..", "..")
	// Reading the directories here makes them an input of the test. A result
	// cached by `go test` would otherwise outlive a change elsewhere.
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && filepath.Base(name) == ".git" {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"list", "-e", "-json=ImportPath,Imports,Deps,Error"}, flags...)
	cmd := exec.CommandContext(t.Context(), "go", append(args, "./...")...)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func TestLayers(t *testing.T) {
	t.Parallel()
	for _, violation := range violations(list(t), layers()) {
		t.Error(violation)
	}
}

// TestLayersCatchEveryRule breaks each rule once, on packages made up here.
func TestLayersCatchEveryRule(t *testing.T) {
	t.Parallel()
	rules := layers()
	for _, rule := range rules {
		expect := func(what string, p listed) {
			p.ImportPath = module + "/" + rule.name
			if got := rule.violations(p); len(got) != 1 || !strings.Contains(got[0], rule.reason) {
				t.Errorf("%s with %s: got %q, want one violation with the reason", rule.name, what, got)
			}
		}
		for _, other := range rules {
			imports := []string{"fmt", module + "/" + other.name}
			if !slices.Contains(rule.allow, other.name) {
				expect("import of "+other.name, listed{Imports: imports})
			} else if got := rule.violations(listed{Imports: imports, Deps: imports}); len(got) != 0 {
				t.Errorf("%s may import %s, but: %q", rule.name, other.name, got)
			}
		}
		for _, pattern := range rule.banDirect {
			expect("import of "+pattern, listed{Imports: []string{strings.TrimSuffix(pattern, "/...")}})
		}
		for _, pattern := range rule.ban {
			expect("path to "+pattern, listed{Deps: []string{"fmt", strings.Replace(pattern, "...", "v5", 1)}})
		}
		if !rule.helper {
			expect("import of testing", listed{Imports: []string{"testing"}})
		}
	}
	if got := violations([]listed{{ImportPath: module + "/util"}}, nil); len(got) != 1 {
		t.Errorf("a package without a rule: got %q, want one violation", got)
	}
	if got := violations(nil, []layer{{name: "api"}, {name: "fault", optional: true}}); len(got) != 1 {
		t.Errorf("a rule without its package: got %q, want one violation", got)
	}
}

// TestLayersCatchSeededFiles adds a file to each of some real packages, by an
// overlay, and so also checks what `go list` is asked.
func TestLayersCatchSeededFiles(t *testing.T) {
	t.Parallel()
	seeds := map[string]string{
		"client":      module + "/service",
		"service":     "net/http",
		"api":         module + "/db",
		"db/postgres": module + "/gen/wire",
		"gen/pgsql":   module + "/service",
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	dir := t.TempDir()
	for name, imported := range seeds {
		target, err := filepath.Abs(filepath.Join("..", "..", name, "seeded.go"))
		if err != nil {
			t.Fatal(err)
		}
		overlay.Replace[target] = filepath.Join(dir, strings.ReplaceAll(name, "/", "_")+".go")
		writeFile(t, overlay.Replace[target], fmt.Sprintf("package %s\n\nimport _ %q\n", path.Base(name), imported))
	}
	content, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	overlayFile := filepath.Join(dir, "overlay.json")
	writeFile(t, overlayFile, string(content))

	got := strings.Join(violations(list(t, "-overlay", overlayFile), layers()), "\n")
	for name, imported := range seeds {
		if want := name + " imports " + imported + ": "; !strings.Contains(got, want) {
			t.Errorf("want %q among the violations:\n%s", want, got)
		}
	}
}

// mayImport tells what a file of this package may import of the module. Only
// the sub-commands that are a server, or prepare one, see more than the SDK:
// that the others need no more proves that users of the SDK need no more. The
// rule is for serve.go and for serve_*.go alike.
func mayImport(file, imported string) bool {
	command, _, _ := strings.Cut(strings.TrimSuffix(file, ".go"), "_")
	switch command {
	case "main":
		return imported == "fault" // It tells what no ordinary build has.
	case "serve", "store", "tokens":
		return slices.Contains([]string{"api", "service", "api/metrics", "api/traces", "db", "client", "fault"}, imported)
	case "licenses":
		return imported == "gen/licenses"
	case "bench":
		return imported == "db/postgres/pgbare" || imported == "db/sqlite/litebare" // It speaks HTTP itself: what the load costs is taken from the broker.
	default:
		return imported == "client"
	}
}

// fileViolations reads the files of one directory. Test files are free.
func fileViolations(t *testing.T, dir string) (found []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if inner, ours := strings.CutPrefix(imported, module+"/"); ours && !mayImport(filepath.Base(file), inner) {
				found = append(found, filepath.Base(file)+" imports "+imported+": a sub-command uses the SDK, as its users do")
			}
		}
	}
	return found
}

func TestSubCommandsUseTheSDK(t *testing.T) {
	t.Parallel()
	for _, violation := range fileViolations(t, ".") {
		t.Error(violation)
	}
}

func TestSubCommandsUseTheSDKCatchesSeededFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	seed := func(file, imported string) {
		writeFile(t, filepath.Join(dir, file), fmt.Sprintf("package main\n\nimport _ %q\n", module+"/"+imported))
	}
	seed("serve.go", "db")
	seed("serve_tls.go", "api")
	seed("topics.go", "client")
	seed("produce.go", "service")
	seed("produce_test.go", "service")
	seed("store.go", "gen/pgsql")
	seed("bench.go", "db")
	var files []string
	for _, violation := range fileViolations(t, dir) {
		file, _, _ := strings.Cut(violation, " ")
		files = append(files, file)
	}
	if want := []string{"bench.go", "produce.go", "store.go"}; !slices.Equal(files, want) {
		t.Errorf("violations in %q, want %q", files, want)
	}
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
