package admin

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

func newPage(allowOrders bool) *StatusPage {
	return &StatusPage{AllowOrders: allowOrders, live: newLive(currentModel), logger: zap.NewNop()}
}

// askPage has the page serve the request.
func askPage(p *StatusPage, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	if err := p.ServeHTTP(w, r, nil); err != nil {
		w.Code = err.(caddyhttp.HandlerError).StatusCode
	}
	return w
}

// hostile is what an upstream or a source may have others read.
const hostile = `"><script>alert(1)</script><img src=x onerror='alert(2)'>` + "\n\ndata: {}\n\n</style>\u2028{{.}}"

func hostileModel() *pageModel {
	at := time.Now()
	u := pool.UpstreamView{Pool: hostile, Address: hostile, Dialled: hostile + "2", State: pool.Down, Since: &at, Reason: hostile}
	backup := u
	backup.Configured.Backup = true
	view := pool.View{Name: hostile, Policy: hostile, State: "paused", Reason: hostile, Upstreams: []pool.UpstreamView{u, backup}}
	order := &orders.Order{Pool: hostile, Address: hostile, State: orders.Drain, Reason: hostile, Given: at, Ends: &at}
	event := pool.Event{Time: at, Kind: pool.StateChanged, Pool: hostile, Upstream: hostile, From: hostile, To: hostile, Reason: hostile}
	return modelOf([]pool.View{view}, []listedOrder{{order, true}}, []pool.Event{event})
}

func render(t *testing.T, data pageData) string {
	t.Helper()
	data.Style, data.Script = pageStyle, pageScript
	var text bytes.Buffer
	if err := pageTemplate().Execute(&text, data); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// What others say is text, in HTML and in the stream.
func TestPageEscapes(t *testing.T) {
	m := hostileModel()
	for _, allow := range []bool{false, true} {
		page := render(t, pageData{pageModel: m, AllowOrders: allow, Token: hostile, Done: hostile, Failed: hostile})
		if strings.Contains(page, "<script>alert") || strings.Contains(page, "<img") || strings.Contains(page, `"><`+"script") {
			t.Error("the page has another's HTML")
		}
		if n := strings.Count(page, "<script"); n != 1 {
			t.Errorf("%d scripts", n)
		}
		if n := strings.Count(page, "&lt;script&gt;alert(1)"); n < 20 {
			t.Errorf("what others say is there only %d times", n)
		}
	}
	event := string(encode(m.all()))
	if !strings.HasPrefix(event, "data: {") || strings.Count(event, "\n") != 2 || strings.Contains(event, "<") {
		t.Errorf("the stream has another's lines or HTML: %q", event)
	}
}

// The script, too, writes what it gets as text only.
func TestScriptMakesNoHTMLOfText(t *testing.T) {
	for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"} {
		if strings.Contains(embedded("page.js"), bad) {
			t.Errorf("the script has %s", bad)
		}
	}
}

// The policy lets exactly the style and the script of the page through, and the page
// needs nothing else.
func TestPageKeepsToItsPolicy(t *testing.T) {
	for _, allow := range []bool{false, true} {
		w := askPage(newPage(allow), httptest.NewRequest(http.MethodGet, "/status", nil))
		page := w.Body.String()
		header := w.Header().Get("Content-Security-Policy")
		for tag, directive := range map[string]string{"style": "style-src", "script": "script-src"} {
			parts := regexp.MustCompile("(?s)<"+tag+">(.*)</"+tag+">").FindAllStringSubmatch(page, -1)
			if len(parts) != 1 {
				t.Fatalf("%d times <%s>", len(parts), tag)
			}
			sum := sha256.Sum256([]byte(parts[0][1]))
			if want := directive + " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"; !strings.Contains(header, want) {
				t.Errorf("%s lacks %s", header, want)
			}
		}
		forms := "form-action 'none'"
		if allow {
			forms = "form-action 'self'"
		}
		for _, want := range []string{"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", forms} {
			if !strings.Contains(header, want) {
				t.Errorf("%s lacks %s", header, want)
			}
		}
		if strings.Contains(header, "unsafe") {
			t.Error(header)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store"} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		if strings.Contains(page, "<form") && !allow || w.Header().Get("Set-Cookie") != "" && !allow {
			t.Error("a page that takes no orders has a form or a cookie")
		}
	}
	html, _, _ := strings.Cut(embedded("page.html"), "{{.Script}}")
	for _, bad := range []string{"http://", "https://", " style=", " onclick=", "src=", "//"} {
		if strings.Contains(html, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	if strings.Contains(embedded("page.css"), "url(") || strings.Contains(embedded("page.css"), "@import") {
		t.Error("the style loads something")
	}
}

// Without scripts, all there is to see is in the tables.
func TestPageWithoutScripts(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	latency := 12.345
	up := pool.UpstreamView{Address: "10.0.0.1:80", State: pool.SlowStarting, Since: &at, Reason: "in slow start", Weight: 2.5, Share: 0.4567, InFlight: 3, LatencyMS: &latency}
	up.Configured.Weight = 5
	down := pool.UpstreamView{Address: "10.0.0.2:80", State: pool.Down, Reason: "unhealthy: no answer"}
	down.Configured.Level = 1
	backup := pool.UpstreamView{Address: "10.0.0.3:80", State: pool.Up, Reason: "available now"}
	backup.Configured.Backup = true
	weight := 4
	m := modelOf([]pool.View{{Name: "shop", Policy: "peak_ewma", State: "open", Panic: true, Held: 1, Upstreams: []pool.UpstreamView{backup, down, up}}},
		[]listedOrder{{&orders.Order{Address: "10.0.0.9:80", Weight: &weight, Reason: "tests", Given: at}, true}},
		[]pool.Event{{Time: at, Kind: pool.StateChanged, Pool: "shop", Upstream: "10.0.0.2:80", From: "up", To: "down", Reason: "no answer"}})
	script := regexp.MustCompile("(?s)<(script|style)>.*?</(script|style)>")
	text := regexp.MustCompile("<[^>]*>").ReplaceAllString(script.ReplaceAllString(render(t, pageData{pageModel: m}), ""), " ")
	text = strings.Join(strings.Fields(text), " ")
	for _, want := range []string{
		"3 upstreams in 1 pool · 1 up · 1 slow start · 1 down",
		"peak_ewma · open · 2 of 3 in service · panic: checks and ejections are ignored · 1 request waits for an upstream to be back",
		"Level 0 1 of 1 in service 10.0.0.1:80 slow start in slow start 2026-11-30T12:00:00Z 2.5 (5 configured) 3 45.7 % 12 ms",
		"Level 1 0 of 1 in service 10.0.0.2:80 down unhealthy: no answer",
		"Backups 1 of 1 in service 10.0.0.3:80 up",
		"all 10.0.0.9:80 weight 4 (for nothing that is configured) tests 2026-11-30T12:00:00Z when withdrawn",
		"2026-11-30T12:00:00Z shop 10.0.0.2:80 up → down no answer",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
}

// Of very many upstreams the page shows those out of service.
func TestPageOfVeryManyUpstreams(t *testing.T) {
	views := make([]pool.View, 2)
	for i := range views {
		views[i].Upstreams = make([]pool.UpstreamView, 10_000)
		for j := range views[i].Upstreams {
			views[i].Upstreams[j].State = pool.Up
		}
		views[i].Upstreams[9_999] = pool.UpstreamView{Address: "last", State: pool.Down}
	}
	m := modelOf(views, nil, nil)
	for _, p := range m.Pools {
		if rows := p.Groups[0].Rows; len(rows) != maxRows/2 || rows[0].Address != "last" {
			t.Errorf("%d rows, the first one is %+v", len(rows), rows[0])
		}
		if !strings.HasPrefix(p.Hidden, "1000 of 10000 upstreams") || !strings.Contains(p.Summary, "9999 of 10000 in service") {
			t.Errorf("%q, %q", p.Hidden, p.Summary)
		}
	}
}

// The script finds every element that the stream names.
func TestPageHasWhatTheStreamNames(t *testing.T) {
	m := hostileModel()
	page := render(t, pageData{pageModel: m})
	c := m.all()
	names := 0
	for id := range c.Texts {
		names++
		if !strings.Contains(page, ` id="`+id+`"`) {
			t.Errorf("there is no element %s", id)
		}
	}
	for id := range c.States {
		if !strings.Contains(page, `<tr role="row" id="`+id+`"`) {
			t.Errorf("there is no row %s", id)
		}
	}
	if names < 15 {
		t.Errorf("only %d names", names)
	}
}

func TestPageMethods(t *testing.T) {
	for _, test := range []struct {
		method string
		allow  bool
		want   int
	}{{"GET", false, 200}, {"HEAD", false, 200}, {"POST", false, 405}, {"PUT", false, 405}, {"DELETE", true, 405}, {"POST", true, 400}} {
		w := askPage(newPage(test.allow), httptest.NewRequest(test.method, "/status", nil))
		if w.Code != test.want {
			t.Errorf("%s: %d, want %d", test.method, w.Code, test.want)
		}
		if w.Code == 405 && !strings.HasPrefix(w.Header().Get("Allow"), "GET, HEAD") {
			t.Errorf("%s: Allow: %q", test.method, w.Header().Get("Allow"))
		}
		if test.method == "HEAD" && w.Body.Len() > 0 {
			t.Error("HEAD has a body")
		}
	}
}

// Every state that an upstream may have looks like what it is.
func TestEveryStateHasAStyle(t *testing.T) {
	css, err := os.ReadFile("page/page.css")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range pool.Codes {
		if c != pool.Up && !strings.Contains(string(css), `[data-state="`+string(c)+`"] .state::before`) {
			t.Errorf("the style does not know %s", c)
		}
	}
}
