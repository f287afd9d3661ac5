package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestPlainRequestsAreAsWithoutThePlugin(t *testing.T) {
	if forked(t) {
		return
	}
	b := start(t, "a")
	serve := func(h http.HandlerFunc) {
		b.set(h)
		b.setHealth(ok)
	}
	big := strings.Repeat("0123456789", 300_000)
	for name, c := range map[string]struct {
		serve      http.HandlerFunc
		directives string
		want       string
		exchange   func(*testing.T, *proxy, string) string
	}{
		"GET":            {mirror, "", "GET /x?a=1 HTTP/1.1", method("GET", "/x?a=1", "", "Accept-Encoding", "br")},
		"POST":           {mirror, "", "length 4,", method("POST", "/", "text", "Content-Type", "text/plain")},
		"large body":     {mirror, "", "3000000 bytes", method("PUT", "/", big)},
		"buffered body":  {mirror, "request_buffers 4k\n response_buffers 4k", "text", method("POST", "/", "text")},
		"header changes": {mirror, "header_up X-Up {upstream_hostport}\n header_up Host {upstream_host}\n header_down X-Down yes", "X-Up: " + b.addr, method("GET", "/", "")},
		"large answer": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, big) }, "", "body 3000000 bytes",
			method("GET", "/", "")},
		"HEAD": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "1234") }, "",
			"200 OK, length 1234", method("HEAD", "/", "")},
		"204": {status(http.StatusNoContent), "", "204 No Content", method("DELETE", "/", "")},
		"304": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"v1"`)
			w.WriteHeader(http.StatusNotModified)
		}, "", "304 Not Modified", method("GET", "/", "", "If-None-Match", `"v1"`)},
		"500 of the application":     {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "sorry", 500) }, "", "body sorry", method("GET", "/", "")},
		"connection dropped on POST": {drop, "", "502 Bad Gateway", method("POST", "/", "text")},
		"answer cut short": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "five!")
			http.NewResponseController(w).Flush()
			drop(w, r)
		}, "", "error unexpected EOF", method("GET", "/", "")},
		"handle_response": {status(http.StatusTeapot), "@tea status 418\n handle_response @tea {\n respond {rp.status_code}\n}",
			"body 418", method("GET", "/", "")},
		"replace_status": {status(http.StatusTeapot), "@tea status 418\n replace_status @tea 299", "299", method("GET", "/", "")},
		"rewrite":        {mirror, "method PUT\n rewrite /other", "PUT /other", method("POST", "/", "text")},
		"many cookies": {func(w http.ResponseWriter, _ *http.Request) {
			for i := range 3 {
				http.SetCookie(w, &http.Cookie{Name: fmt.Sprint("c", i), Value: "v"})
			}
		}, "", "c0=v | c1=v | c2=v", method("GET", "/", "")},
	} {
		t.Run(name, func(t *testing.T) {
			serve(c.serve)
			compare(t, b.addr, c.directives, c.want, c.exchange)
		})
	}
}
