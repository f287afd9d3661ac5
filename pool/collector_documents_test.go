package pool

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

// labelsOf returns the labels of all metrics that the collector describes, by name.
func labelsOf(t *testing.T) map[string][]string {
	t.Helper()
	form := regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)
	all := make(map[string][]string)
	for _, d := range described {
		m := form.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("the library describes metrics in another way: %s", d)
		}
		all[m[1]] = strings.Split(m[2], ",")
	}
	return all
}

// What the documents name is there: metrics, their labels, and the words that these have.
func TestDocumentsNameSeriesThatExist(t *testing.T) {
	known := labelsOf(t)
	known["caddy_load_balancer_attempt_duration_seconds_bucket"] = append(known["caddy_load_balancer_attempt_duration_seconds"], "le")
	for _, name := range []string{"attempt_duration_seconds", "check_duration_seconds"} {
		name = "caddy_load_balancer_" + name
		known[name+"_sum"], known[name+"_count"] = known[name], known[name]
	}
	everyLabel := map[string]bool{"job": true, "instance": true} // Prometheus's own
	for _, labels := range known {
		for _, l := range labels {
			everyLabel[l] = true
		}
	}
	words := map[string][]string{"state": orderStates[:], "class": Classes[:], "result": {"passed", "failed", "void"}}
	for _, code := range Codes {
		words["state"] = append(words["state"], string(code))
	}
	names := regexp.MustCompile(`(caddy_load_balancer_[a-z_]*[a-z])(?:\{([^}]*)\})?`)
	matchers := regexp.MustCompile(`(\w+)\s*[=!]~?\s*"([^"]*)"`)
	grouping := regexp.MustCompile(`(?:by|on) \(([^)]*)\)`)
	for _, file := range []string{"grafana-dashboard.json", "alerts.yml", "alerts_test.yml", "../README.md", "operations.md"} {
		text, err := os.ReadFile(filepath.Join("../docs", file))
		if err != nil {
			t.Fatal(err)
		}
		plain := strings.ReplaceAll(string(text), `\"`, `"`)
		for _, m := range names.FindAllStringSubmatch(plain, -1) {
			labels, ok := known[m[1]]
			if !ok {
				t.Errorf("%s: there is no %s", file, m[1])
			}
			for _, l := range matchers.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains(labels, l[1]) && l[1] != "job" && l[1] != "instance" {
					t.Errorf("%s: %s has no label %s", file, m[1], l[1])
				}
				for _, word := range strings.Split(l[2], "|") {
					if of, ok := words[l[1]]; ok && !slices.Contains(of, word) {
						t.Errorf("%s: the label %s is never %q", file, l[1], word)
					}
				}
			}
		}
		if strings.HasSuffix(file, ".md") {
			continue
		}
		for _, m := range grouping.FindAllStringSubmatch(plain, -1) {
			for _, l := range strings.Split(m[1], ",") {
				if !everyLabel[strings.TrimSpace(l)] {
					t.Errorf("%s: no metric has the label %s", file, l)
				}
			}
		}
	}
}

// The table of operations.md has every metric, with its labels.
func TestOperationsHaveEveryMetric(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, labels := range labelsOf(t) {
		row := regexp.MustCompile("(?m)^\\| `" + name + "` \\| (.*?) \\|").FindStringSubmatch(string(text))
		if row == nil {
			t.Errorf("%s has no row", name)
			continue
		}
		var told []string
		for _, l := range regexp.MustCompile(`\([^)]*\)`).Split(row[1], -1) {
			for _, m := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(l, -1) {
				told = append(told, m[1])
			}
		}
		slices.Sort(told)
		if want := slices.Sorted(slices.Values(labels)); !slices.Equal(told, want) {
			t.Errorf("%s has the labels %s, not %s", name, want, told)
		}
	}
}

// Prometheus can read the rules, they alert as they should, and it can read what the
// dashboard asks.
func TestPrometheusUnderstandsTheDocuments(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed; Debian has it in the package prometheus")
	}
	text, err := os.ReadFile("../docs/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	asked := "groups:\n- name: dashboard\n  rules:\n"
	n := 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			n++
			expr := strings.ReplaceAll(target.Expr, "$__rate_interval", "1m")
			asked += fmt.Sprintf("  - record: asked:%d\n    expr: %q\n", n, expr)
		}
	}
	if n < 20 {
		t.Errorf("the dashboard asks %d things", n)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, []byte(asked), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"check", "rules", "../docs/alerts.yml"},
		{"test", "rules", "../docs/alerts_test.yml"},
		{"check", "rules", file},
	} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
