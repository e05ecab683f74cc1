package postgres_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/db/postgres/pgtest"
)

// named is how a query begins, in the files of queries and in the generated texts.
var named = regexp.MustCompile(`(?m)^-- name: (\w+) :\w+$`)

// TestGeneratedQueriesAreValid has a server prepare the text of every generated query. sqlc silently
// writes wrong SQL for some constructs; without this only the first call would show it.
func TestGeneratedQueriesAreValid(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	open(t, url) // makes the tables
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // a test's connection
	texts := generatedTexts(t)
	for _, name := range writtenNames(t) {
		text, ok := texts[name]
		if !ok {
			t.Errorf("%s is not in gen/pgsql: generate again", name)
			continue
		}
		if _, err := conn.Prepare(t.Context(), name, text); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		delete(texts, name)
	}
	for name := range texts {
		t.Errorf("%s is in gen/pgsql but not in queries: generate again", name)
	}
}

// writtenNames are the names of all queries in the files they are written in.
func writtenNames(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("queries/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files of queries: %v", err)
	}
	var names []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := named.FindAllSubmatch(text, -1)
		if len(found) == 0 {
			t.Errorf("%s has no queries", file)
		}
		for _, match := range found {
			names = append(names, string(match[1]))
		}
	}
	return names
}

// generatedTexts are the texts of all queries in the generated package, by name.
func generatedTexts(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../gen/pgsql/*.sql.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no generated files: %v", err)
	}
	texts := map[string]string{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			if match := named.FindStringSubmatch(text); match != nil {
				texts[match[1]] = text
			}
			return true
		})
	}
	return texts
}
