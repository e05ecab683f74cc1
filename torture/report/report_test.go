package report_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/topiq/topiq/torture/report"
)

func results() []report.Result {
	versions := report.Versions{Topiq: "v1", Go: "go1", Postgres: "15", SQLite: "s", Kernel: "k"}
	return []report.Result{
		{Nemesis: "N10", Name: "slow", Engine: "sqlite", Seed: 9, FaultName: "pauses", Faults: 4, Versions: versions},
		{Nemesis: "N2", Name: "kills", Engine: "sqlite", Seed: 1, FaultName: "kills", Faults: 20, Ops: 100, Acked: 50, Unknown: 3, UnknownStored: 1, RecoveryMS: []int64{5, 1500}, RateBefore: 100, RateAfter: 95, Versions: versions},
		{Nemesis: "N2", Name: "kills", Engine: "sqlite", Seed: 2, FaultName: "kills", Faults: 10, Versions: versions},
		{Nemesis: "N2", Name: "kills", Engine: "sqlite", Seed: 3, FaultName: "kills", Faults: 1000, Invalid: "too slow", Versions: versions},
		{Nemesis: "N2", Name: "kills", Engine: "sqlite", Seed: 7, FaultName: "kills", Faults: 1, Lost: 2, Versions: versions},
		{Nemesis: "N1", Engine: "sqlite", Seed: 1, Mistake: "no_dedupe", Seconds: 2, Versions: versions},
		{Nemesis: "N1", Engine: "sqlite", Seed: 2, Mistake: "no_dedupe", Seconds: 3, Duplicate: 4, Caught: true, Versions: versions},
		{Nemesis: "N1", Engine: "sqlite", Seed: 2, Mistake: "never", Seconds: 3, Other: 1, Versions: versions},
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	got := report.Tables(results())
	for _, want := range []string{
		"| N2: kills | sqlite | 3 | 31 kills | 100 | 50 | 3 | 1 | 2 | 0 | 0 | 0 | 0 | 0 | 1.5 s | 95 % |",
		"| **all** | | 4 | 35 | 100 | 50 | 3 | 1 | 2 |",
		"1 more rounds do not count",
		"N2 sqlite 1–3, 7",
		"75 % for N10 on sqlite",
		"- topiq v1, go1, PostgreSQL 15, s, k\n",
		"| `no_dedupe` | N1 | sqlite | 2 | 5 | 4 doubled | v1 |",
		"| `never` | N1 | sqlite | 1 | 3 | **not caught** | v1 |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the tables lack %q:\n%s", want, got)
		}
	}
	if strings.Index(got, "| N2:") > strings.Index(got, "| N10:") {
		t.Error("N10 comes before N2")
	}
	if strings.Contains(got, "for N2 on sqlite") {
		t.Error("a bound is given for a fault that lost messages")
	}
}

func TestWriteReplacesWhatIsBetweenTheMarks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(path, []byte("before\n<!-- torture:begin -->\nold\n<!-- torture:end -->\nafter\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := report.Write(path, results()); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "before\n<!-- torture:begin -->\n" + report.Tables(results()) + "<!-- torture:end -->\nafter\n"; string(got) != want {
		t.Errorf("got %s", got)
	}
	if err := os.WriteFile(path, []byte("no marks"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := report.Write(path, results()); err == nil {
		t.Error("a document without marks was accepted")
	}
}

func TestResultsAccumulate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "results.jsonl")
	if got, err := report.Read(path); err != nil || len(got) != 0 {
		t.Fatalf("a file that is not there: %v, %v", got, err)
	}
	list := results()
	for i := range list {
		if err := report.Append(path, list[i]); err != nil {
			t.Fatal(err)
		}
	}
	got, err := report.Read(path)
	if err != nil || len(got) != len(list) || got[1].Faults != 20 || got[1].WorstRecovery() != 1500 {
		t.Errorf("read %d results, %v", len(got), err)
	}
}
