package healthcheck

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHTTPRequest(t *testing.T) {
	t.Setenv("PROBE_TOKEN", "t0k3n")
	requests := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		requests <- r
	}))
	defer server.Close()
	address := server.Listener.Addr().String()
	host, port, _ := net.SplitHostPort(address)

	for name, test := range map[string]struct {
		checker HTTP
		host    string
		want    map[string]string // by what it is of
	}{
		"defaults": {HTTP{}, "", map[string]string{
			"method": "GET", "uri": "/", "host": address, "body": "", "User-Agent": "Evenkeel health check",
		}},
		"host of the check": {HTTP{}, "app.example", map[string]string{"host": "app.example"}},
		"uri":               {HTTP{URI: "//a%2Fb?q=%20&r"}, "", map[string]string{"uri": "//a%2Fb?q=%20&r"}},
		"method and body": {HTTP{Method: "PUT", Body: `{"to":"{http.reverse_proxy.upstream.hostport}","x":{}}`}, "", map[string]string{
			"method": "PUT", "body": `{"to":"` + address + `","x":{}}`,
		}},
		"header": {HTTP{Header: map[string]string{
			"host":       "own.example",
			"user-agent": "me",
			"X-Plain":    "{unknown}",
			"X-Env":      "Bearer {env.PROBE_TOKEN}",
			"X-Target":   "{http.reverse_proxy.active.target_upstream} {http.reverse_proxy.upstream.address}",
			"X-Parts":    "{http.reverse_proxy.upstream.host} {http.reverse_proxy.upstream.port}",
		}}, "app.example", map[string]string{
			"host": "own.example", "User-Agent": "me", "X-Plain": "{unknown}", "X-Env": "Bearer t0k3n",
			"X-Target": address + " tcp/" + address, "X-Parts": host + " " + port,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			target := targetAt(t, address)
			target.Host = test.host
			if err := checkSoon(t, provisioned(t, &test.checker), target); err != nil {
				t.Fatal(err)
			}
			r := <-requests
			body, _ := io.ReadAll(r.Body)
			got := map[string]string{"method": r.Method, "uri": r.RequestURI, "host": r.Host, "body": string(body)}
			for what, want := range test.want {
				value, ok := got[what]
				if !ok {
					value = r.Header.Get(what)
				}
				if value != want {
					t.Errorf("%s is %q, want %q", what, value, want)
				}
			}
		})
	}
}

func TestHTTPReasons(t *testing.T) {
	fields := func(pairs ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(pairs); i += 2 {
				w.Header().Add(pairs[i], pairs[i+1])
			}
		}
	}
	tenKiB := strings.Repeat("x", 10<<10)
	for name, test := range map[string]struct {
		checker HTTP
		answer  http.HandlerFunc
		reason  string
	}{
		"passes":                    {HTTP{}, answering(204, ""), "<nil>"},
		"status":                    {HTTP{}, answering(503, "down"), "status 503, expected 200-299"},
		"status of a list":          {HTTP{ExpectStatus: []string{"200", "3xx"}}, answering(204, ""), "status 204, expected 200, 3xx"},
		"status wanted":             {HTTP{ExpectStatus: []string{"503"}}, answering(503, ""), "<nil>"},
		"redirect is not followed":  {HTTP{}, fields("Location", "://"), "<nil>"},
		"header":                    {HTTP{ExpectHeader: map[string]string{"x-state": "^ready$"}}, fields("X-State", "draining"), `header X-State is "draining", expected to match /^ready$/`},
		"header missing":            {HTTP{ExpectHeader: map[string]string{"x-state": ""}}, answering(200, ""), "header X-State is missing, expected to match //"},
		"header of several values":  {HTTP{ExpectHeader: map[string]string{"X-State": "^a, b$"}}, fields("X-State", "a", "X-State", "b"), "<nil>"},
		"long header":               {HTTP{ExpectHeader: map[string]string{"A": "b"}}, fields("A", tenKiB), `header A is "` + tenKiB[:99] + `…", expected to match /b/`},
		"body":                      {HTTP{ExpectBody: "^pong$"}, answering(200, "ping"), "body does not match /^pong$/"},
		"body matches":              {HTTP{ExpectBody: "^pong$"}, answering(200, "pong"), "<nil>"},
		"expression":                {HTTP{Expect: "json.up == true"}, answering(200, `{"up":false}`), "expression is false: json.up == true"},
		"expression holds":          {HTTP{Expect: `status == 200 && json.up == true && duration < duration("1h")`}, answering(200, `{"up":true}`), "<nil>"},
		"expression fails":          {HTTP{Expect: "json.up == true"}, answering(200, `{}`), "expression failed: no such key: up"},
		"body not JSON":             {HTTP{Expect: "json.up == true"}, answering(200, "OK"), "body is not JSON"},
		"body at the cap":           {HTTP{MaxBody: 10 << 10}, answering(200, tenKiB), "<nil>"},
		"body over the cap":         {HTTP{MaxBody: 10<<10 - 1}, answering(200, tenKiB), "response body exceeds max_body of 10 KiB"},
		"body over, though matched": {HTTP{MaxBody: 10, ExpectBody: "x"}, answering(200, tenKiB), "response body exceeds max_body of 10 B"},
		"body over the default":     {HTTP{}, answering(200, strings.Repeat(tenKiB, 103)), "response body exceeds max_body of 1.0 MiB"},
		"head":                      {HTTP{Method: "HEAD", MaxBody: 10}, fields("Content-Length", "10240"), "<nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(test.answer)
			defer server.Close()
			err := checkSoon(t, provisioned(t, &test.checker), targetAt(t, server.Listener.Addr().String()))
			expectReason(t, err, test.reason)
		})
	}
}

func TestHTTPRedirects(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://[")
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/steps", func(w http.ResponseWriter, r *http.Request) {
		if step := r.URL.Query().Get("n"); len(step) < 10 {
			http.Redirect(w, r, "http://elsewhere.invalid/steps?n=x"+step, http.StatusFound)
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	for name, test := range map[string]struct {
		checker HTTP
		reason  string
	}{
		"not followed":            {HTTP{URI: "/loop"}, "status 302, expected 200-299"},
		"not followed, as wanted": {HTTP{URI: "/loop", ExpectStatus: []string{"302"}}, "<nil>"},
		"not even looked at":      {HTTP{URI: "/broken", ExpectStatus: []string{"302"}}, "<nil>"},
		"loop":                    {HTTP{URI: "/loop", FollowRedirects: true}, "redirect loop: stopped after 10 redirects"},
		"ten, on this upstream":   {HTTP{URI: "/steps", FollowRedirects: true}, "<nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkSoon(t, provisioned(t, &test.checker), targetAt(t, server.Listener.Addr().String()))
			expectReason(t, err, test.reason)
		})
	}
}
