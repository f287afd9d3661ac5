package integration

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// everyName answers for names such as 5-3-2.pool.test with the address 127.5.3.2.
type everyName struct{}

// ServeDNS implements dns.Handler.
func (everyName) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	answer := new(dns.Msg).SetReply(q)
	name := q.Question[0].Name
	label, _, _ := strings.Cut(name, ".")
	if record, err := dns.NewRR(name + " 1 IN A 127." + strings.ReplaceAll(label, "-", ".")); err == nil {
		answer.Answer = append(answer.Answer, record)
	}
	w.WriteMsg(answer)
}

// TestGrowth tells how much memory 20,000 addresses of names that clients invent
// take, twice as many as dynamic_limit, and how much that is with Caddy's random. The
// number of things that are kept is under test in the package pool.
func TestGrowth(t *testing.T) {
	if !*long {
		t.Skip("it takes a minute, and only measures")
	}
	const addresses = 20_000
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: everyName{}}
	go server.ActivateAndServe()
	t.Cleanup(func() { server.Shutdown() })
	b := startOn(t, "all", "0.0.0.0", "")
	_, port, _ := net.SplitHostPort(b.addr)
	source := "a {labels.2}.pool.test " + port + " {\n resolvers " + conn.LocalAddr().String() + "\n versions ipv4\n}"
	for i, c := range []struct{ policy, options string }{
		{"random", ""},
		{"weighted_random", ""},
		{"peak_ewma", ""},
		{"maglev {uri}", ""},
		{"sticky", ""},
		{"peak_ewma", "health_check tcp {\n interval 10m\n}"},
	} {
		t.Run(c.policy, func(t *testing.T) {
			p := run(t, dynamic(c.policy, source, c.options, "transport http {\n keepalive off\n}"))
			p.of(fmt.Sprintf("%d-0-1", 100+i))
			before := heap()
			var wg sync.WaitGroup
			for w := range 8 {
				wg.Go(func() {
					for n := w; n < addresses; n += 8 {
						if got := p.of(fmt.Sprintf("%d-%d-%d", 100+i, n>>8, n&0xff)); got.from() != "all" {
							t.Errorf("%d: %v", n, got)
							return
						}
					}
				})
			}
			wg.Wait()
			t.Logf("%s %q: %.1f MB", c.policy, c.options, float64(heap()-before)/1e6)
		})
	}
}

// heap returns how many bytes are in use.
func heap() int64 {
	var stats runtime.MemStats
	for range 3 { // pools give up what they have at the second
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
