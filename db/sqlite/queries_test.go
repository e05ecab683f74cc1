package sqlite

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every generated query is prepared on a real database: sqlc accepts some SQL that SQLite does not.
// And none may read the whole of a table that grows with use.
func TestQueriesPrepare(t *testing.T) {
	t.Parallel()
	queries := generated(t, filepath.Join("..", "..", "gen", "litesql"))
	if want := written(t, "queries"); len(queries) != want || want < 30 {
		t.Fatalf("%d queries were generated, the query files have %d: generate again", len(queries), want)
	}
	queries["insertOne"] = insertOne
	queries["insertMany"] = insertMany
	queries["readMessages"] = readMessages
	s := opened(t, filepath.Join(t.TempDir(), "topiq.db"))
	for name, query := range queries {
		if _, err := s.statements.PrepareContext(t.Context(), query); err != nil { //nolint:sqlclosecheck // shared
			t.Errorf("%s: %v", name, err)
			continue
		}
		noScan(t, s, name, query)
	}
}

// scansAll are the queries that may: the row of the file itself, a narrow table, a list in order.
var scansAll = map[string]bool{
	"findTrimmedHead": true, "findDeletedTopic": true, "adoptHeads": true,
	// What it adds up is the part that it was given.
	"findExcess": true,
	// Now and then, in the background; an index on what changes with each position would cost every consume.
	"listUnusedProducers": true, "listUnusedConsumers": true,
	// Tokens are few.
	"listTokens": true, "forgetTokens": true,
}

func noScan(t *testing.T, s *Store, name, query string) {
	t.Helper()
	n := strings.Count(query, "?")
	if numbered := regexp.MustCompile(`\?\d+`).FindAllString(query, -1); numbered != nil {
		n = len(slices.Compact(slices.Sorted(slices.Values(numbered))))
	}
	args := make([]any, n)
	rows, err := s.pool.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		whole := strings.HasPrefix(step, "SCAN ") && !strings.Contains(step, "json_each") &&
			!strings.Contains(step, "CONSTANT ROW") && !strings.Contains(step, "VALUES CLAUSE")
		// The topics that have anything to sweep are few.
		sorts := strings.Contains(step, "TEMP B-TREE") && name != "findTrimmedHead"
		if (whole && !scansAll[name]) || sorts {
			t.Errorf("%s: %s", name, step)
		}
	}
	if err := rows.Err(); err != nil {
		t.Error(err)
	}
}

// generated returns the texts of sqlc's queries by the names of their constants.
func generated(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.sql.go"))
	if err != nil {
		t.Fatal(err)
	}
	queries := map[string]string{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			text, ok := spec.Values[0].(*ast.BasicLit)
			if !ok || !strings.Contains(text.Value, "-- name: ") {
				return true
			}
			query, err := strconv.Unquote(text.Value)
			if err != nil {
				t.Fatal(err)
			}
			queries[spec.Names[0].Name] = query
			return true
		})
	}
	return queries
}

// written counts the queries in the files that sqlc reads.
func written(t *testing.T, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.sql"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n += len(regexp.MustCompile(`(?m)^-- name: `).FindAll(text, -1))
	}
	return n
}
