package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// tenants is a handler whose source asks the name server for a name that the
// client chooses: the third label of the host from the right.
func tenants(server *nameServer, port, policy string) string {
	return dynamic(policy, "a {labels.2}.pool.test "+port+" {\n resolvers "+server.addr+"\n refresh 10ms\n versions ipv4\n}", "")
}

// of asks for the path under the tenant's name.
func (p *proxy) of(tenant string) answer {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, p.url+"/", nil)
	if err != nil {
		return answer{err: err}
	}
	req.Host = tenant + ".site.test"
	res, err := p.client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return answer{status: res.StatusCode, body: string(text), header: res.Header, err: err}
}

// TestANameWithoutUpstreamsGetsNobodyElses asks for names of which the name server
// knows nothing, beside one of whose upstreams it does.
func TestANameWithoutUpstreamsGetsNobodyElses(t *testing.T) {
	n := 200
	if *long {
		n = 10_000
	}
	for _, policy := range []string{"weighted_random", "peak_ewma", "maglev {uri}", "sticky"} {
		t.Run(policy, func(t *testing.T) {
			a := startOn(t, "a", "127.0.0.1", "")
			_, port, _ := net.SplitHostPort(a.addr)
			server := startDNS(t)
			server.set("one.pool.test. 1 IN A 127.0.0.1")
			p := run(t, tenants(server, port, policy))
			if got := p.of("one"); got.from() != "a" {
				t.Fatal(got)
			}
			var wg sync.WaitGroup
			for w := range 4 {
				wg.Go(func() {
					for i := w; i < n; i += 4 {
						if i%50 == 0 {
							if got := p.of("one"); got.from() != "a" {
								t.Errorf("a name that is known: %v", got)
							}
						}
						if got := p.of(fmt.Sprint("none-", i)); got.status != http.StatusServiceUnavailable {
							t.Errorf("a name that nobody has: %v", got)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// TestANameGoesOnWithItsOwn has the name server fail: each name keeps what it got
// last, whatever was asked for meanwhile.
func TestANameGoesOnWithItsOwn(t *testing.T) {
	a := startOn(t, "a", "127.0.0.1", "")
	_, port, _ := net.SplitHostPort(a.addr)
	b := startOn(t, "b", "127.0.0.2", port)
	server := startDNS(t)
	server.set("one.pool.test. 1 IN A 127.0.0.1", "two.pool.test. 1 IN A 127.0.0.2")
	p := run(t, tenants(server, port, "weighted_random"))
	for name, from := range map[string]*backend{"one": a, "two": b} {
		eventually(t, 5*time.Second, name+" is served", func() bool { return p.of(name).from() == from.name })
	}
	server.broken.Store(true)
	eventually(t, 5*time.Second, "the source fails", func() bool {
		p.of("one")
		return logs.count("the source returns no upstreams: those that it returned last go on") > 0
	})
	for i := range 50 {
		if got := p.of(fmt.Sprint("none-", i)); got.status != http.StatusServiceUnavailable {
			t.Fatalf("a name that nobody has: %v", got)
		}
		if got := p.of("one"); got.from() != "a" {
			t.Fatalf("one: %v", got)
		}
		if got := p.of("two"); got.from() != "b" {
			t.Fatalf("two: %v", got)
		}
	}
}
