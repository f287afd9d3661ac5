package integration

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

const (
	clientHeader = "X-Client"
	aLine        = 32 // bytes, all of one client's body
)

// bodyOf is a body that tells in every line whose it is.
func bodyOf(client string, bytes int) string {
	return strings.Repeat(fmt.Sprintf("%*s\n", aLine-1, client), bytes/aLine)
}

// received is what backends have got of bodies.
type received struct{ whole, mixed atomic.Int64 }

// read takes in a body, as far as n bytes, or all of it where n is 0. Each line
// has to be of the client that the header names.
func (c *received) read(r *http.Request, n int64) (whole bool) {
	body := io.Reader(r.Body)
	if n > 0 {
		body = io.LimitReader(body, n)
	}
	text, err := io.ReadAll(body)
	own := fmt.Appendf(nil, "%*s\n", aLine-1, r.Header.Get(clientHeader))
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(own, line) { // the last one may be cut
			c.mixed.Add(1)
			return false
		}
	}
	whole = n == 0 && err == nil && int64(len(text)) == r.ContentLength
	if whole {
		c.whole.Add(1)
	}
	return whole
}

// TestBodiesOfClientsNeverMix has bodies that are larger than what Caddy buffers
// of them, and an upstream that resets the connection after it has read a part.
// What a second attempt would be sent may be another client's by then.
func TestBodiesOfClientsNeverMix(t *testing.T) {
	if forked(t) {
		return
	}
	total := atLength(250, 1000)
	anyMethod := "lb_retry_match {\n method GET POST\n}"
	for name, c := range map[string]struct {
		method    string
		options   string
		directive string
	}{
		"GET":                             {http.MethodGet, "", ""},
		"POST under lb_retry_match":       {http.MethodPost, "", anyMethod},
		"GET, nobody is ejected":          {http.MethodGet, "outlier_detection off", ""},
		"POST matched, nobody is ejected": {http.MethodPost, "outlier_detection off", anyMethod},
	} {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b", "resets")
			var seen received
			takesAll := func(w http.ResponseWriter, r *http.Request) {
				if !seen.read(r, 0) {
					drop(w, r)
				}
				io.WriteString(w, r.Header.Get(clientHeader))
			}
			setAll(b[:2], takesAll)
			b[2].set(func(w http.ResponseWriter, r *http.Request) {
				seen.read(r, 6<<10)
				drop(w, r)
			})
			p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", c.options, "request_buffers 4KB", c.directive))
			failed := 0
			for i, a := range p.send(total, 16, func(i int) answer {
				client := fmt.Sprint("client-", i)
				return p.do(c.method, "/", bodyOf(client, 64<<10), clientHeader, client)
			}) {
				switch {
				case a.err != nil || a.status == http.StatusBadGateway:
					failed++
				case a.status != http.StatusOK || a.body != fmt.Sprint("client-", i):
					t.Fatalf("client %d got %v", i, a)
				}
			}
			t.Logf("%s; %d arrived whole, %d mixed, %d requests failed", requests(b...), seen.whole.Load(), seen.mixed.Load(), failed)
			if n := seen.mixed.Load(); n > 0 {
				t.Errorf("%d of %d bodies arrived mixed with another client's", n, total)
			}
			for _, healthy := range b[:2] {
				if logs.count("upstream is ejected", "upstream", healthy.addr) > 0 {
					t.Errorf("%s is healthy, and ejected", healthy.name)
				}
			}
		})
	}
}
