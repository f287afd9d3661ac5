package integration

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// nameServer answers with the records that it is told to.
type nameServer struct {
	addr    string
	records atomic.Pointer[[]string] // in zone file format
	broken  atomic.Bool
}

func startDNS(t *testing.T) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &nameServer{addr: conn.LocalAddr().String()}
	s.set()
	server := &dns.Server{PacketConn: conn, Handler: s}
	go server.ActivateAndServe()
	t.Cleanup(func() { server.Shutdown() })
	return s
}

func (s *nameServer) set(records ...string) { s.records.Store(&records) }

// ServeDNS implements dns.Handler.
func (s *nameServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	answer := new(dns.Msg).SetReply(q)
	if s.broken.Load() {
		w.WriteMsg(answer.SetRcode(q, dns.RcodeServerFailure))
		return
	}
	answer.Rcode = dns.RcodeNameError
	for _, text := range *s.records.Load() {
		record, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		header := record.Header()
		if header.Name != q.Question[0].Name {
			continue
		}
		answer.Rcode = dns.RcodeSuccess
		if header.Rrtype == q.Question[0].Qtype {
			answer.Answer = append(answer.Answer, record)
		}
	}
	w.WriteMsg(answer)
}

// startOn starts a backend on the given host, and on the given port unless
// that is empty.
func startOn(t *testing.T, name, host, port string) *backend {
	t.Helper()
	b := newBackend(name)
	if l, err := net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
		t.Skipf("no address %s here: %v", host, err)
	} else {
		l.Close()
	}
	b.addr = net.JoinHostPort(host, port)
	if port == "" {
		b.addr = freeAddrOf(host)
	}
	b.start(t)
	return b
}

func TestDynamicA(t *testing.T) {
	a := startOn(t, "a", "127.0.0.1", "")
	_, port, _ := net.SplitHostPort(a.addr)
	down := startOn(t, "down", "127.0.0.2", port)
	down.setHealth(status(500))
	server := startDNS(t)
	server.set("backends.test. 1 IN A 127.0.0.1", "backends.test. 1 IN A 127.0.0.2")
	p := run(t, dynamic("smooth_weighted_round_robin",
		"a backends.test "+port+" {\n resolvers "+server.addr+"\n refresh 100ms\n versions ipv4\n}", quick), expireSoon)
	p.sequence(1)
	awaitDown(t, down)
	down.requests.Store(0)
	if got := p.sequence(10); strings.Contains(got, "down") {
		t.Error(got)
	}
	c := startOn(t, "c", "127.0.0.3", port)
	server.set("backends.test. 1 IN A 127.0.0.1", "backends.test. 1 IN A 127.0.0.3", "backends.test. 1 IN A 127.0.0.2")
	eventually(t, 3*time.Second, "c gets traffic", func() bool { return p.get("/").from() == "c" })
	eventually(t, 3*time.Second, "c is probed", func() bool { return c.probes.Load() > 0 })
	if n := down.requests.Load(); n != 0 {
		t.Errorf("down and got %d requests", n)
	}
}

func TestDynamicSRV(t *testing.T) {
	if forked(t) {
		return
	}
	for name, checker := range map[string]string{"http": "http " + healthPath, "tcp": "tcp"} {
		t.Run(name, func(t *testing.T) {
			service := "_http._tcp." + name + ".test" // Caddy remembers answers over configs
			a, down := startOn(t, "a", "127.0.0.1", ""), startOn(t, "down", "127.0.0.2", "")
			if checker == "tcp" {
				down.stop()
			} else {
				down.setHealth(status(500))
			}
			_, portA, _ := net.SplitHostPort(a.addr)
			_, portDown, _ := net.SplitHostPort(down.addr)
			server := startDNS(t)
			server.set("a.test. 1 IN A 127.0.0.1", "down.test. 1 IN A 127.0.0.2",
				service+". 1 IN SRV 0 0 "+portA+" a.test.",
				service+". 1 IN SRV 0 0 "+portDown+" down.test.")
			p := run(t, dynamic("smooth_weighted_round_robin",
				"srv "+service+" {\n resolvers "+server.addr+"\n}", check(checker),
				"transport http {\n resolvers "+server.addr+"\n}"), expireSoon)
			p.sequence(1)
			eventually(t, 5*time.Second, "down is out", func() bool {
				return logs.count("upstream is unhealthy", "upstream", "down.test.:"+portDown) > 0
			})
			holds(t, 3*interval, "a is not held to be down", func() bool {
				return logs.count("upstream is unhealthy", "upstream", "a.test.:"+portA) == 0
			})
			for range 6 {
				if a := p.get("/"); a.from() != "a" {
					t.Errorf("down is out: %v", a)
				}
			}
		})
	}
}

// TestWhenDNSIsGone breaks the name server under load. Requests go on where
// there is somebody whose address is known.
func TestWhenDNSIsGone(t *testing.T) {
	if forked(t) {
		return
	}
	const dynamicA = "dynamic a dynamic.test PORT {\n resolvers DNS\n refresh 100ms\n versions ipv4\n}"
	for name, c := range map[string]struct{ upstreams, source, serves string }{
		"an upstream with a name":       {"static.test:PORT OTHER", "", "other"},
		"dynamic a beside a static one": {"OTHER", dynamicA, "other"},
		"dynamic a alone":               {"", dynamicA, "named"},
	} {
		t.Run(name, func(t *testing.T) {
			named, other := startOn(t, "named", "127.0.0.1", ""), start(t, "other")
			_, port, _ := net.SplitHostPort(named.addr)
			server := startDNS(t)
			server.set("static.test. 1 IN A 127.0.0.1", "dynamic.test. 1 IN A 127.0.0.1")
			fill := strings.NewReplacer("DNS", server.addr, "PORT", port, "OTHER", other.addr).Replace
			p := run(t, policy(fill(c.upstreams), "smooth_weighted_round_robin",
				"outlier_detection {\n base_ejection_time 500ms\n max_ejection_time 500ms\n}",
				fill(c.source), "transport http {\n keepalive off\n resolvers "+server.addr+"\n}"))
			l := p.load(100)
			eventually(t, 5*time.Second, "traffic by name", func() bool { return l.answers("named") > 10 })
			server.broken.Store(true)
			l.last(300 * time.Millisecond)
			before := l.answers(c.serves)
			eventually(t, 5*time.Second, "traffic goes on", func() bool { return l.answers(c.serves) > before+50 })
			server.broken.Store(false)
			before = l.answers("named")
			eventually(t, 5*time.Second, "traffic by name again", func() bool { return l.answers("named") > before+10 })
			if counts := l.stop(); counts.failures() > 0 {
				t.Errorf("requests failed: %v", counts)
			}
		})
	}
}
