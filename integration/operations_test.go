package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// source returns the code of all packages but tests.
func source(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// Each line of the runbook is one that the code logs, and each placeholder one that it
// sets.
func TestOperationsNameWhatThereIs(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	code := source(t)
	_, runbook, ok := strings.Cut(string(text), "### From a line to what to do")
	if !ok {
		t.Fatal("there is no runbook")
	}
	runbook, _, _ = strings.Cut(runbook, "\n## ")
	lines := regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(runbook, -1)
	if len(lines) < 15 {
		t.Errorf("the runbook has %d lines", len(lines))
	}
	for _, line := range lines {
		message := line[1]
		if verdict, ok := strings.CutPrefix(message, "upstream is "); ok && (verdict == "healthy" || verdict == "unhealthy") {
			message = `"upstream is "+after.Verdict.String()`
		}
		if !strings.Contains(code, message) {
			t.Errorf("nothing logs %q", line[1])
		}
	}
	for _, p := range regexp.MustCompile(`\{(http\.load_balancer\.[a-z_]+)\}`).FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(code, `"`+p[1]+`"`) {
			t.Errorf("nothing sets {%s}", p[1])
		}
	}
}
