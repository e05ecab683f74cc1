package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // registers itself with database/sql
)

// damage executes SQL on a store behind its back.
func damage(t *testing.T, url string, statements ...string) {
	t.Helper()
	if file, ok := strings.CutPrefix(url, "sqlite:"); ok {
		handle, err := sql.Open("sqlite", file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = handle.Close() }()
		for _, statement := range statements {
			if _, err := handle.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		return
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// damages are all kinds, each done to a topic of its name (TOPIC stands for its id), and how what
// must be found begins.
func damages() map[string]struct {
	sql  string
	want []string
} {
	return map[string]struct {
		sql  string
		want []string
	}{
		"whole": {sql: `SELECT 1`},
		"message-gone": {`DELETE FROM messages WHERE topic_id = TOPIC AND "offset" = 2`, []string{
			"offset 2: a message, none", "bytes: 12, 19", "count of producer p: 3, 4",
		}},
		"messages-gone": {`DELETE FROM messages WHERE topic_id = TOPIC AND "offset" IN (1, 2)`, []string{
			"offsets 1 … 2: a message at each, none", "seq of offset 3, producer p: 1, 2", "bytes: 9, 19", "count of producer p: 2, 4",
		}},
		"last-message-gone": {`DELETE FROM messages WHERE topic_id = TOPIC AND "offset" = 3`, []string{
			"offset 3: a message, none", "bytes: 14, 19", "next_seq of producer p: 2, 3", "last_offset of producer p: 1, 3",
			"count of producer p: 3, 4",
		}},
		"all-messages-gone": {`DELETE FROM messages WHERE topic_id = TOPIC`, []string{
			"offsets 0 … 3: a message at each, none", "bytes: 0, 19", "next_seq of producer p: 0, for no seq is stored, 3",
			"count of producer p: 0, 4",
		}},
		"head-back": {`UPDATE heads SET next_offset = 3, bytes = bytes - 5 WHERE topic_id = TOPIC`, []string{
			"last_append: ", "offset 3: the end of the topic, a message", "last_offset of producer p: below the end 3, 3",
		}},
		"head-on":    {`UPDATE heads SET next_offset = 6 WHERE topic_id = TOPIC`, []string{"offsets 4 … 5: a message at each, none"}},
		"head-first": {`UPDATE heads SET first_offset = 1 WHERE topic_id = TOPIC`, []string{"bytes: 15, 19"}},
		"head-first-beyond": {`UPDATE heads SET first_offset = 5 WHERE topic_id = TOPIC`, []string{
			"first_offset: between 0 and next_offset 4, 5",
		}},
		"head-bytes": {`UPDATE heads SET bytes = 20 WHERE topic_id = TOPIC`, []string{"bytes: 19, 20"}},
		"head-time":  {`UPDATE heads SET last_append = EARLIER WHERE topic_id = TOPIC`, []string{"last_append: "}},
		"head-gone":  {`DELETE FROM heads WHERE topic_id = TOPIC`, []string{"head: one, none"}},
		"message-time": {`UPDATE messages SET created_at = EARLIER WHERE topic_id = TOPIC AND "offset" = 3`, []string{
			"checksum of offset 3: ",
			"created_at of offset 3: not before ", "last_append: ",
		}},
		"message-bit":     {`UPDATE messages SET payload = OTHER WHERE topic_id = TOPIC AND "offset" = 2`, []string{"checksum of offset 2: "}},
		"no-checksum":     {sql: `UPDATE messages SET checksum = NULL WHERE topic_id = TOPIC`},
		"message-payload": {`UPDATE messages SET payload = HALF WHERE topic_id = TOPIC AND "offset" = 2`, []string{"checksum of offset 2: ", "bytes: "}},
		"seq-skipped": {`UPDATE messages SET seq = 5 WHERE topic_id = TOPIC AND "offset" = 3`, []string{
			"checksum of offset 3: ",
			"seq of offset 3, producer p: 2, 5", "next_seq of producer p: 6, 3",
		}},
		"seq-gone": {`UPDATE messages SET seq = NULL WHERE topic_id = TOPIC AND "offset" = 0`, []string{
			"checksum of offset 0: ",
			"seq of offset 1, producer p: 0, 1",
		}},
		"seq-twice": {`UPDATE messages SET seq = 1 WHERE topic_id = TOPIC AND "offset" = 3`, []string{
			"checksum of offset 3: ",
			"seq of offset 3, producer p: 2, 1 once more", "next_seq of producer p: 2, 3", "last_offset of producer p: 1, 3",
		}},
		"name-gone": {`UPDATE messages SET prod_name = NULL WHERE topic_id = TOPIC AND "offset" = 3`, []string{
			"checksum of offset 3: ",
			"producer of offset 3: a name, for it has a seq, none", "next_seq of producer p: 2, 3",
			"last_offset of producer p: 1, 3", "count of producer p: 3, 4",
		}},
		"producer-gone": {`DELETE FROM producers WHERE topic_id = TOPIC`, []string{
			"producer p: registered, for it has seqs, not registered", "count of producer p: at least 4, 0",
		}},
		"producer-seq-on":   {`UPDATE producers SET next_seq = 4 WHERE topic_id = TOPIC`, []string{"next_seq of producer p: 3, 4"}},
		"producer-seq-back": {`UPDATE producers SET next_seq = 2 WHERE topic_id = TOPIC`, []string{"next_seq of producer p: 3, 2"}},
		"producer-offset":   {`UPDATE producers SET last_offset = 2 WHERE topic_id = TOPIC`, []string{"last_offset of producer p: 3, 2"}},
		"producer-count-less": {`UPDATE producers SET count = 3 WHERE topic_id = TOPIC`, []string{
			"count of producer p: at least 4, 3",
		}},
		"producer-count-more": {`UPDATE producers SET count = 5 WHERE topic_id = TOPIC`, []string{"count of producer p: 4, 5"}},
		"consumer-beyond": {`UPDATE consumers SET "offset" = 5 WHERE topic_id = TOPIC`, []string{
			"offset of consumer ID c: between 0 and the end 4, 5",
		}},
		"consumer-before": {`UPDATE consumers SET "offset" = -1 WHERE topic_id = TOPIC`, []string{
			"offset of consumer ID c: between 0 and the end 4, -1",
		}},
	}
}

// dialect writes what the two engines write differently.
func dialect(url, statement, topic string) string {
	earlier, half, other := "created_at - 1000000", "CAST('wit' AS BLOB)", "CAST('withouu' AS BLOB)"
	if strings.HasPrefix(url, "postgres") {
		earlier, half, other = "created_at - interval '1 second'", "'wit'::bytea", "'withouu'::bytea"
	}
	if strings.HasPrefix(statement, "UPDATE heads") {
		earlier = strings.Replace(earlier, "created_at", "last_append", 1)
	}
	return strings.NewReplacer("EARLIER", earlier, "HALF", half, "OTHER", other,
		"TOPIC", fmt.Sprintf("(SELECT topic_id FROM topics WHERE name = '%s')", topic)).Replace(statement)
}

func TestStoreCheckFindsEveryKindOfDamage(t *testing.T) {
	t.Parallel()
	for engine, newStore := range storedEngines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			url := newStore(t)
			var topics []string
			total := 0
			statements := []string{"DROP INDEX messages_by_seq"} // which keeps a seq from being stored twice
			for kind, d := range damages() {
				topics = append(topics, kind)
				total += len(d.want)
				statements = append(statements, dialect(url, d.sql, kind))
			}
			filled(t, url, topics...)
			damage(t, url, statements...)
			o := topiq(t, "", "store", "check", "--json", "--store="+url)
			if want := fmt.Sprintf("contradicts itself in %d places", total); o.code != exitFailure || !strings.Contains(o.stderr, want) {
				t.Errorf("exit code %d, stderr %q; want %q", o.code, o.stderr, want)
			}
			checkOneLine(t, o)
			var result storeChecked
			if err := json.Unmarshal([]byte(o.stdout), &result); err != nil {
				t.Fatal(err)
			}
			if !result.Complete || result.FindingsTotal != int64(len(result.Findings)) {
				t.Errorf("%+v", result)
			}
			for kind, d := range damages() {
				t.Run(kind, func(t *testing.T) {
					t.Parallel()
					checkFindings(t, result.Findings, kind, d.want)
				})
			}
			checkTable(t, url, total)
		})
	}
}

func checkFindings(t *testing.T, all []storeFinding, topic string, want []string) {
	t.Helper()
	var got []string
	for _, f := range all {
		if string(f.Topic) == topic {
			what := strings.Fields(f.What)
			if i := slices.Index(what, "consumer"); i >= 0 {
				what[i+1] = "ID"
			}
			got = append(got, strings.Join(what, " ")+": "+f.Expected+", "+f.Found)
		}
	}
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// checkTable checks the same check for people.
func checkTable(t *testing.T, url string, total int) {
	t.Helper()
	o := topiq(t, "", "store", "check", "--store="+url)
	lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
	if o.code != exitFailure || len(lines) != total+2 {
		t.Fatalf("exit code %d and %d lines for %d findings:\n%s", o.code, len(lines), total, o.stdout)
	}
	if got := strings.Join(strings.Fields(lines[0]), " "); got != "TOPIC WHAT EXPECTED FOUND" {
		t.Errorf("the first line is %q", lines[0])
	}
	if last := lines[len(lines)-1]; !strings.HasSuffix(last, fmt.Sprintf(": %d findings", total)) {
		t.Errorf("the last line is %q", last)
	}
	if !slices.ContainsFunc(lines, func(line string) bool {
		return strings.Join(strings.Fields(line), " ") == "head-bytes bytes 19 20"
	}) {
		t.Errorf("no line for the changed size:\n%s", o.stdout)
	}
}
