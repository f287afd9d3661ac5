package admin

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The commands that documents and help show are ones that there are.
func TestCommandsOfDocumentsAreThere(t *testing.T) {
	address := served(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path != root+"pools" && r.URL.Path != root+"orders" {
			answering(404, `{"error":"unknown"}`)(w, r)
			return
		}
		fixtures(w, r)
	})
	files, err := filepath.Glob("../docs/operations*.md")
	if err != nil {
		t.Fatal(err)
	}
	texts := examples
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts += "\n" + string(text)
	}
	commands := regexp.MustCompile("caddy (?:lb|load-balancer)\\b([^&|;`\n]*)").FindAllStringSubmatch(texts, -1)
	if len(commands) < 20 {
		t.Errorf("only %d are found", len(commands))
	}
	for _, c := range commands {
		args := []string{"lb", "--address", address}
		for _, quoted := range regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(c[1], -1) {
			args = append(args, strings.Trim(quoted, `"`))
		}
		if strings.Contains(c[1], "--watch") { // it would not end
			args = append(args, "--help")
		}
		if at := strings.Index(c[1], "--address"); at >= 0 {
			args = append(args, "--address", address)
		}
		if r := execute(t, args...); r.code != 0 && r.code != exitNotFound {
			t.Errorf("caddy lb%s: %s", c[1], r.stderr)
		}
	}
}
