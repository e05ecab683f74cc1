package main

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/topiq/topiq/db/postgres/pgtest"
)

// family is one metric of a scrape: its type, and the labels that its samples have.
type family struct {
	kind   string
	labels map[string]bool
}

// scrapeAll is what brokers on all engines that have metrics of their own show together.
func scrapeAll(t *testing.T) map[string]family {
	t.Helper()
	found := map[string]family{}
	for _, store := range []string{"sqlite:" + filepath.Join(t.TempDir(), "t.db"), pgtest.URL(t)} {
		b := serveHere(t, "--store="+store, "--metrics-consumers=10")
		url := "--url=" + b.url
		mustTopiq(t, "one\ntwo\n", "produce", url, "orders", "--name=source")
		mustTopiq(t, "", "consume", url, "orders", "--name=billing", "--limit=1")
		for name, f := range scrape(t, b.url) {
			if known, ok := found[name]; ok {
				maps.Copy(f.labels, known.labels)
			}
			found[name] = f
		}
	}
	return found
}

func scrape(t *testing.T, url string) map[string]family {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if got := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || got != "text/plain; version=0.0.4; charset=utf-8" {
		text, _ := io.ReadAll(response.Body)
		t.Fatalf("%d %s: %s", response.StatusCode, got, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]family{}
	for name, f := range families {
		of := family{kind: strings.ToLower(f.GetType().String()), labels: map[string]bool{}}
		for _, sample := range f.GetMetric() {
			for _, label := range sample.GetLabel() {
				of.labels[label.GetName()] = true
			}
		}
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", name)
		}
		found[name] = of
	}
	return found
}

// documentedMetrics are the rows of the table in docs/operations.md: the labels of each metric.
func documentedMetrics(t *testing.T) map[string]map[string]bool {
	t.Helper()
	documented := map[string]map[string]bool{}
	row := regexp.MustCompile("(?m)^\\| `(topiq_[a-z_]+)` \\| ([a-z, ]*) ?\\| (.+) \\|$")
	for _, cells := range row.FindAllStringSubmatch(readDocument(t, filepath.Join(docsRoot, "docs", "operations.md")).prose, -1) {
		labels := map[string]bool{}
		for label := range strings.SplitSeq(cells[2], ",") {
			if label = strings.TrimSpace(label); label != "" {
				labels[label] = true
			}
		}
		if documented[cells[1]] != nil {
			t.Errorf("docs/operations.md lists %s twice", cells[1])
		}
		documented[cells[1]] = labels
	}
	return documented
}

// TestMetrics compares what brokers show with docs/operations.md and with the queries of the dashboard, so
// that all three have the same names and labels.
func TestMetrics(t *testing.T) {
	t.Parallel()
	found := scrapeAll(t)
	documented := documentedMetrics(t)
	for name, f := range found {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		if labels, ok := documented[name]; !ok {
			t.Errorf("docs/operations.md does not list %s", name)
		} else if !maps.Equal(labels, f.labels) {
			t.Errorf("docs/operations.md: %s has the labels %q, not %q", name, slices.Sorted(maps.Keys(f.labels)), slices.Sorted(maps.Keys(labels)))
		}
	}
	for name := range documented {
		if _, ok := found[name]; !ok {
			t.Errorf("docs/operations.md lists %s, which no broker shows", name)
		}
	}
	queries := dashboardQueries(t)
	if len(queries) < 20 {
		t.Fatalf("docs/grafana.json has only the queries %q", queries)
	}
	for _, query := range queries {
		for _, problem := range checkQuery(query, found) {
			t.Errorf("docs/grafana.json: %s: %s", query, problem)
		}
	}
}

// dashboardQueries are all queries of the dashboard: those of its panels and of its variables.
func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(docsRoot, "docs", "grafana.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard any
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		case map[string]any:
			for key, inner := range v {
				if query, ok := inner.(string); ok && (key == "expr" || key == "definition") {
					queries = append(queries, query)
				}
				walk(inner)
			}
		}
	}
	walk(dashboard)
	return queries
}

// The words of a query that are no names of metrics or labels.
var (
	queryMetric = regexp.MustCompile(`\b((?:topiq|go|process)_[a-z_]+)\b`)
	queryLabel  = regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)"`)
	queryBy     = regexp.MustCompile(`\bby \(([^)]*)\)`)
)

// checkQuery finds names in a query that no broker shows. Prometheus itself adds job and instance.
func checkQuery(query string, found map[string]family) (problems []string) {
	labels := map[string]bool{"job": true, "instance": true}
	metrics := queryMetric.FindAllString(query, -1)
	if len(metrics) == 0 {
		problems = append(problems, "names no metric")
	}
	for _, name := range metrics {
		f, ok := found[name]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			base, cut := strings.CutSuffix(name, suffix)
			if histogram, known := found[base]; cut && known && histogram.kind == "histogram" {
				f, ok = histogram, true
				labels["le"] = true
			}
		}
		if !ok {
			problems = append(problems, "no broker shows "+name)
		}
		if strings.HasSuffix(name, "_total") && !strings.Contains(query, "rate("+name) && !strings.Contains(name, "violations") {
			problems = append(problems, name+" is a counter, of which only the rate means something")
		}
		maps.Copy(labels, f.labels)
	}
	var used []string
	for _, match := range queryLabel.FindAllStringSubmatch(query, -1) {
		used = append(used, match[1])
	}
	for _, match := range queryBy.FindAllStringSubmatch(query, -1) {
		for label := range strings.SplitSeq(match[1], ",") {
			used = append(used, strings.TrimSpace(label))
		}
	}
	for _, label := range used {
		if !labels[label] {
			problems = append(problems, "no metric in it has the label "+label)
		}
	}
	return problems
}

func TestCheckQueryFindsMistakes(t *testing.T) {
	t.Parallel()
	found := map[string]family{
		"topiq_queue_bytes":    {"gauge", map[string]bool{"queue": true}},
		"topiq_commit_seconds": {"histogram", map[string]bool{"work": true}},
		"topiq_requests_total": {"counter", map[string]bool{"code": true}},
	}
	for query, wrong := range map[string]bool{
		`sum by (queue) (topiq_queue_bytes{job="x"})`:               false,
		`sum by (le, work) (rate(topiq_commit_seconds_bucket[5m]))`: false,
		`rate(topiq_requests_total{code!~"ok"}[5m])`:                false,
		`topiq_requests_total`:                                      true,
		`sum by (work) (topiq_queue_bytes)`:                         true,
		`topiq_queue_bytes{operation="x"}`:                          true,
		`topiq_queue_bytes_sum`:                                     true,
		`topiq_queues`:                                              true,
		`up`:                                                        true,
	} {
		if got := checkQuery(query, found); (len(got) > 0) != wrong {
			t.Errorf("%s: %q", query, got)
		}
	}
}
