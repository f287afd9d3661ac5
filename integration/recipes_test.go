package integration

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// recipes are the tests of docs/recipes.md, by the heading of the section that each
// of them runs.
var recipes = map[string]func(*testing.T, recipe){
	"Restart of an only backend":            recipeRestart,
	"Rolling deploy of two":                 recipeDeployOfTwo,
	"Rolling deploy of four, two at a time": recipeDeployOfFour,
	"Blue-green":                            recipeBlueGreen,
	"Maintenance page":                      recipeMaintenance,
	"Canary":                                recipeCanary,
	"Local backends first":                  recipeLocalFirst,
	"PHP-FPM":                               recipePHP,
	"Web sockets through a deploy":          recipeSockets,
	"Labels for caddy-docker-proxy":         recipeLabels,
	"Language-model server":                 recipeLanguageModel,
}

// recipe is a section of docs/recipes.md.
type recipe struct {
	text       string
	caddyfiles []string
}

// TestRecipes runs the Caddyfiles of each recipe, with the addresses of the test's own
// backends in place of those in the document.
func TestRecipes(t *testing.T) {
	t.Parallel() // its subtests are in processes of their own
	for heading, r := range readRecipes(t) {
		t.Run(heading, func(t *testing.T) {
			test := recipes[heading]
			if test == nil {
				t.Fatal("no test runs this recipe")
			}
			if !forked(t) {
				test(t, r)
			}
		})
	}
}

// TestGoldenRecipes has each Caddyfile of the document formatted and valid as it is, and
// each test's recipe in the document.
func TestGoldenRecipes(t *testing.T) {
	t.Setenv("LB_SECRET", "a-secret-of-some-length")
	document := readRecipes(t)
	for heading := range recipes {
		if len(document[heading].caddyfiles) == 0 {
			t.Errorf("the document has no Caddyfile under %q", heading)
		}
	}
	for heading, r := range document {
		for _, text := range r.caddyfiles {
			t.Run(heading, func(t *testing.T) { golden{caddyfile: text}.check(t) })
		}
	}
}

// readRecipes returns the sections of the document by heading.
func readRecipes(t *testing.T) map[string]recipe {
	t.Helper()
	text, err := os.ReadFile("../docs/recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]recipe)
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		heading, body, _ := strings.Cut(section, "\n")
		all[heading] = recipe{body, fenced(body, "caddyfile")}
	}
	return all
}

// fenced returns the blocks of code in the language.
func fenced(text, language string) (blocks []string) {
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, match[1])
	}
	return blocks
}

var onlySite = regexp.MustCompile(`(?s)^\S+ \{\n(.*)\n\}\n$`)

// site returns what the n-th Caddyfile has in its site, with some text replaced. That is
// old and new by turns; all that is old must be there.
func (r recipe) site(t *testing.T, n int, replaced ...string) string {
	t.Helper()
	text := r.caddyfiles[n]
	for i := 0; i < len(replaced); i += 2 {
		if !strings.Contains(text, replaced[i]) {
			t.Fatalf("%q is not in\n%s", replaced[i], text)
		}
	}
	site := onlySite.FindStringSubmatch(strings.NewReplacer(replaced...).Replace(text))
	if site == nil {
		t.Fatalf("not a single site:\n%s", text)
	}
	return site[1]
}

// expectSays fails the test unless the recipe has the option in its prose, too.
func (r recipe) expectSays(t *testing.T, option string) {
	t.Helper()
	if !strings.Contains(r.text, "`"+option+"`") {
		t.Fatalf("the recipe does not say `%s`", option)
	}
}

// addresses returns what site replaces: the names given, by the backends' addresses.
func addresses(names string, all ...*backend) (replaced []string) {
	for i, name := range strings.Fields(names) {
		replaced = append(replaced, name, all[i].addr)
	}
	return replaced
}

// expectFrom fails the test unless the backend answers each of so many requests.
func (p *proxy) expectFrom(b *backend, n int, when string, header ...string) {
	p.t.Helper()
	for range n {
		if a := p.get("/", header...); a.status != 200 || a.from() != b.name {
			p.t.Fatalf("%s: %v, want it from %s", when, a, b.name)
		}
	}
}
