package integration

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

var update = flag.Bool("update", false, "write the JSON in golden/*.caddyfiletest anew")

// separator is the line between the parts of a golden file: the Caddyfile; the
// JSON that it is adapted to, which may be left out where loading that fails;
// and, unless all is well, what is said:
//
//   - an error with "at Caddyfile:<line>", of adapting it;
//   - any other error, of loading the JSON;
//   - "warning: " and the message of one that is logged when it is loaded.
const separator = "----------\n"

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("golden/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files (%v)", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			g, err := parseGolden(string(content))
			if err != nil {
				t.Fatal(err)
			}
			got := g.check(t)
			if *update && g.json != "" && g.json != got {
				g.json = got
				if err := os.WriteFile(file, []byte(g.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Every policy and every checker has a golden file.
func TestGoldenFilesAreComplete(t *testing.T) {
	var all strings.Builder
	files, _ := filepath.Glob("golden/*.caddyfiletest")
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		g, _ := parseGolden(string(content))
		all.WriteString(g.json)
	}
	found := 0
	for namespace, key := range map[string]string{
		"http.reverse_proxy.selection_policies": "policy",
		"http.reverse_proxy.health_checkers":    "type",
		"http.reverse_proxy.upstreams":          "source",
	} {
		for _, m := range caddy.GetModules(namespace) {
			of := reflect.TypeOf(m.New()).Elem().PkgPath()
			if !strings.HasPrefix(of, "github.com/caddy-evenkeel/") || strings.HasSuffix(of, "/integration") {
				continue // one of Caddy's own, or of a test
			}
			found++
			if want := fmt.Sprintf("%q: %q", key, m.ID.Name()); !strings.Contains(all.String(), want) {
				t.Errorf("no golden file has %s", want)
			}
		}
	}
	if found == 0 {
		t.Error("there are no policies")
	}
}

// golden is the content of a golden file; what is not there is empty.
type golden struct{ caddyfile, json, said string }

func parseGolden(content string) (g golden, err error) {
	parts := strings.Split(content, separator)
	g.caddyfile = parts[0]
	for _, part := range parts[1:] {
		switch {
		case strings.HasPrefix(part, "{") && g.json == "" && g.said == "":
			g.json = part
		case strings.TrimSpace(part) != "" && g.said == "":
			g.said = strings.TrimSpace(part)
		default:
			return g, fmt.Errorf("unexpected part:\n%s", part)
		}
	}
	if g.json == "" && g.said == "" {
		err = fmt.Errorf("neither JSON nor an error is expected; give {} and -update for JSON")
	}
	return g, err
}

func (g golden) String() string {
	content := g.caddyfile
	if g.json != "" {
		content += separator + g.json
	}
	if g.said != "" {
		content += separator + g.said + "\n"
	}
	return content
}

// check compares what is expected with what happens, and returns the JSON.
func (g golden) check(t *testing.T) string {
	if clean := caddyfile.Format([]byte(g.caddyfile)); string(clean) != g.caddyfile {
		t.Errorf("not formatted as caddy fmt does it, which gives\n%s", clean)
	}
	config, err := adaptCaddyfile(g.caddyfile)
	if atLine.MatchString(g.said) {
		expectSaid(t, "adapting", err, g.said)
		return ""
	}
	if err != nil {
		t.Fatal("adapting:", err)
	}
	if g.json != "" && g.json != config && !*update {
		t.Errorf("adapted to\n%s\nwant\n%s", config, g.json)
	}
	logs.reset()
	err = validate(config)
	if warning, ok := strings.CutPrefix(g.said, "warning: "); ok {
		if n := logs.count(warning, "level", "warn"); n != 1 {
			t.Errorf("warned %d times: %s\n%s", n, warning, logs.tail(20))
		}
		g.said = ""
	}
	expectSaid(t, "loading", err, g.said)
	return config
}

// atLine is how an error says where in the Caddyfile it is.
var atLine = regexp.MustCompile(`, at Caddyfile:\d+(\n|$| import chain )`)

func expectSaid(t *testing.T, doing string, err error, want string) {
	t.Helper()
	switch {
	case err == nil && want != "":
		t.Errorf("%s: no error, want %s", doing, want)
	case err != nil && want == "":
		t.Errorf("%s: %v", doing, err)
	case err != nil && !strings.HasSuffix(err.Error(), want):
		t.Errorf("%s: %v\nwant %s", doing, err, want)
	}
}

// adaptCaddyfile does what `caddy adapt --pretty` does.
func adaptCaddyfile(text string) (string, error) {
	adapter := caddyconfig.GetAdapter("caddyfile")
	config, _, err := adapter.Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return "", err
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, config, "", "\t"); err != nil {
		return "", err
	}
	return pretty.String() + "\n", nil
}

// validate does what `caddy validate` does with a JSON config: everything short of
// running it.
func validate(config string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	var c caddy.Config
	if err := caddy.StrictUnmarshalJSON([]byte(config), &c); err != nil {
		return err
	}
	c.StorageRaw = caddyconfig.JSON(map[string]string{"module": "file_system", "root": storageDir}, nil)
	c.Logging = new(caddy.Logging)
	const captured = `{"logs": {"default": {"writer": {"output": "capture"}, "encoder": {"format": "json"}}}}`
	if err := json.Unmarshal([]byte(captured), c.Logging); err != nil {
		return err
	}
	return caddy.Validate(&c)
}

func TestGoldenExample(t *testing.T) {
	text, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	golden{caddyfile: string(text)}.check(t)
}

// The documents' examples need not have a site around them to be good ones, but they
// have, and so can be tried as they are.
func TestGoldenDocuments(t *testing.T) {
	for file, text := range documents(t) {
		blocks := regexp.MustCompile("(?ms)^```caddyfile\n(.*?)^```").FindAllStringSubmatch(text, -1)
		if len(blocks) == 0 && strings.HasSuffix(file, "README.md") {
			t.Error("no fenced caddyfile blocks in README.md")
		}
		for i, block := range blocks {
			if _, err := adaptCaddyfile(block[1]); err != nil {
				t.Errorf("%s, block %d: %v\n%s", file, i+1, err, block[1])
			}
		}
	}
}
