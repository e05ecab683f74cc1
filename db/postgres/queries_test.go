package postgres_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/topiq/topiq/db/postgres/pgtest"
	"github.com/topiq/topiq/service"
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

// TestPlansOfWhatIsKnown: a plan is made once and kept, and what goes on from what is known must not come to read whole
// indexes when tables have grown that were small then.
func TestPlansOfWhatIsKnown(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	store := open(t, url)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // a test's connection
	for name, setting := range map[string]string{
		"enable_seqscan": "off", "enable_bitmapscan": "off", "plan_cache_mode": "force_generic_plan",
		"topiq.known": "x", "topiq.database": "x",
	} {
		if _, err := conn.Exec(t.Context(), "SELECT set_config($1, $2, false)", name, setting); err != nil {
			t.Fatal(err)
		}
	}
	made := 0
	for _, rows := range []int{0, 2, 20, 200} {
		for ; made < rows; made++ {
			name := service.TopicName(fmt.Sprint("topic-", made))
			if _, _, err := store.RegisterProducer(t.Context(), registration(name, "p")); err != nil {
				t.Fatal(err)
			}
			if _, _, err := store.RegisterConsumer(t.Context(), service.ConsumerRegistration{Topic: name, At: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		if rows > 0 {
			execute(t, url, "ANALYZE")
		}
		checked := 0
		for name, text := range generatedTexts(t) {
			if strings.HasSuffix(name, "AsKnown") {
				checkPlan(t, conn, fmt.Sprint(name, rows), text)
				checked++
			}
		}
		if checked < 4 {
			t.Errorf("%d plans were looked at", checked)
		}
	}
}

var inBucket = regexp.MustCompile(`Index Cond: \(+bucket = `)

// checkPlan requires that a table is only read in a loop that says where: which row, or at least in which bucket.
func checkPlan(t *testing.T, conn *pgx.Conn, name, text string) {
	t.Helper()
	statement, err := conn.Prepare(t.Context(), name, text)
	if err != nil {
		t.Fatal(err)
	}
	nulls := strings.TrimSuffix(strings.Repeat("NULL,", len(statement.ParamOIDs)), ",")
	rows, err := conn.Query(t.Context(), fmt.Sprintf("EXPLAIN (COSTS OFF) EXECUTE %q(%s)", name, nulls))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	plan := strings.Join(lines, "\n")
	scans := strings.Count(plan, " Scan") - strings.Count(plan, "Function Scan") - strings.Count(plan, "Subquery Scan")
	if told := len(inBucket.FindAllString(plan, -1)); scans == 0 || told != scans ||
		strings.Contains(plan, "Hash Join") || strings.Contains(plan, "Merge Join") {
		t.Errorf("%s:\n%s", name, plan)
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
