package integration

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

func TestTCPCheckTakesTheBrokenOutAndBack(t *testing.T) {
	b := backends(t, "a", "b")
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", check("tcp")), recordAll)
	// No probe shows up in the backend; its first is due within the interval.
	b[1].probes.Store(2)
	awaitProbes(t, p, 2*interval)
	breakAndMend(t, p, "tcp", b[1], b[0], b[1].stop, func() { b[1].start(t) }, "connection refused")
}

// awaitProbes waits for longer than any check's first probe may take.
func awaitProbes(t *testing.T, p *proxy, during time.Duration) {
	t.Helper()
	holds(t, during, "all are up", func() bool { return p.get("/").status == http.StatusOK })
}

func TestTCPCheckExpectsAnAnswer(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b")
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", check("tcp",
		`send "GET `+healthPath+` HTTP/1.0\r\n\r\n"`, `expect_regexp "^HTTP/1.0 200"`)), recordAll)
	breakAndMend(t, p, "tcp", b[1], b[0], func() { b[1].set(status(500)) }, func() { b[1].set(ok) }, "without a match")
	breakAndMend(t, p, "tcp", b[1], b[0], func() { b[1].set(hang) }, func() { b[1].set(ok) }, "timeout after ")
}

// healthServer is a gRPC server that answers health checks.
func healthServer(t *testing.T) (*health.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, service := grpc.NewServer(), health.NewServer()
	healthpb.RegisterHealthServer(server, service)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return service, port
}

func TestGRPCCheckTakesTheBrokenOutAndBack(t *testing.T) {
	if forked(t) {
		return
	}
	b := start(t, "a")
	service, port := healthServer(t) // tells of b's health
	service.SetServingStatus("shop", healthpb.HealthCheckResponse_SERVING)
	p := run(t, policy(b.addr, "smooth_weighted_round_robin", "panic_threshold 0\n"+check("grpc shop", "port "+port)), recordAll)
	awaitProbes(t, p, 2*interval)
	for _, broken := range []struct {
		status healthpb.HealthCheckResponse_ServingStatus
		reason string
	}{
		{healthpb.HealthCheckResponse_NOT_SERVING, "NOT_SERVING"},
		{healthpb.HealthCheckResponse_SERVICE_UNKNOWN, "SERVICE_UNKNOWN"},
	} {
		logs.reset()
		events.reset()
		service.SetServingStatus("shop", broken.status)
		eventually(t, outBound, "out", func() bool { return p.get("/").status == http.StatusServiceUnavailable })
		service.SetServingStatus("shop", healthpb.HealthCheckResponse_SERVING)
		eventually(t, inBound, "in again", func() bool { return p.get("/").status == http.StatusOK })
		expectFlips(t, b.addr, "127.0.0.1:"+port, "grpc", broken.reason)
	}
}

func TestCheckOfAnotherPort(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b")
	_, port, _ := net.SplitHostPort(b[1].addr)
	p := run(t, policy(b[0].addr, "smooth_weighted_round_robin", "panic_threshold 0\n"+
		check("http "+healthPath, "port "+port)), recordAll)
	eventually(t, 2*time.Second, "probes", func() bool { return b[1].probes.Load() > 1 })
	b[1].setHealth(status(500))
	eventually(t, outBound, "503", func() bool { return p.get("/").status == http.StatusServiceUnavailable })
	if n := b[0].probes.Load() + b[1].requests.Load(); n != 0 {
		t.Errorf("%d probes or requests on the wrong port", n)
	}
	eventually(t, time.Second, "the event", func() bool { return events.count("unhealthy") == 1 })
	told := events.find("unhealthy")[0]
	if told["upstream"] != b[0].addr || told["host"] != b[1].addr {
		t.Errorf("event %v: upstream should be %s, host what was probed, %s", told, b[0].addr, b[1].addr)
	}
}

// served notes how a TLS server was asked.
type served struct {
	mu  sync.Mutex
	all map[string]bool
}

func (s *served) note(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[string]bool)
	}
	host := r.Host
	if r.URL.Path != healthPath {
		host = "any host"
	}
	s.all[fmt.Sprintf("%s: %s over %s", r.URL.Path, host, r.TLS.ServerName)] = true
}

func TestCheckHostIsHeaderAndServerName(t *testing.T) {
	for _, protocol := range []string{"h2", "http/1.1"} {
		t.Run(protocol, func(t *testing.T) {
			ca := newAuthority(t)
			var asked served
			b := startTLS(t, "a", ca.server(t, []string{protocol}, "site.example", "check.example"))
			b.set(func(w http.ResponseWriter, r *http.Request) {
				asked.note(r)
				ok(w, r)
			})
			p := run(t, policy("https://"+b.addr, "smooth_weighted_round_robin",
				check("http "+healthPath, "host check.example", "initial checking"),
				"transport http {\n tls_server_name site.example\n tls_trust_pool file "+ca.file+"\n}"))
			eventually(t, 3*time.Second, "the check passes", func() bool { return p.get("/").status == http.StatusOK })
			asked.mu.Lock()
			defer asked.mu.Unlock()
			if len(asked.all) != 2 || !asked.all["/health: check.example over check.example"] || !asked.all["/: any host over site.example"] {
				t.Errorf("got %v", asked.all)
			}
		})
	}
}

func TestCheckWithATransportOfItsOwn(t *testing.T) {
	ca := newAuthority(t)
	plain, encrypted := start(t, "plain"), startTLS(t, "tls", ca.server(t, []string{"h2"}))
	_, port, _ := net.SplitHostPort(encrypted.addr)
	p := run(t, policy(plain.addr, "smooth_weighted_round_robin", check("http "+healthPath, "initial checking", "port "+port,
		"transport http {\n tls_trust_pool file "+ca.file+"\n}")))
	eventually(t, 3*time.Second, "the check passes", func() bool { return p.get("/").status == http.StatusOK })
	if encrypted.probes.Load() == 0 || plain.probes.Load() != 0 {
		t.Error("probes did not go where they should")
	}
}

func TestCheckersTrustOnlyTheGivenAuthority(t *testing.T) {
	ca := newAuthority(t)
	b := startTLS(t, "a", ca.server(t, []string{"http/1.1"}))
	for name, options := range map[string]struct {
		check  string
		passes bool
	}{
		"tcp, trusted":   {check("tcp", "initial checking", "tls {\n ca "+ca.file+"\n}"), true},
		"tcp, untrusted": {check("tcp", "initial checking", "tls"), false},
		"tcp, unverified, speaks": {check("tcp", "initial checking", `send "GET /health HTTP/1.0\r\n\r\n"`, "expect 200",
			"tls {\n insecure_skip_verify\n}"), true},
		"grpc, trusted, not HTTP/2": {check("grpc", "initial checking", "tls {\n ca "+ca.file+"\n}"), false},
	} {
		t.Run(name, func(t *testing.T) {
			p := run(t, policy("https://"+b.addr, "smooth_weighted_round_robin", "panic_threshold 0\n"+options.check,
				"transport http {\n tls_trust_pool file "+ca.file+"\n}"))
			decided := func() bool { return logs.count("upstream is healthy")+logs.count("upstream is unhealthy") > 0 }
			eventually(t, 3*time.Second, "a first result", decided)
			passed := func() bool { return p.get("/").status == http.StatusOK }
			if options.passes {
				eventually(t, 3*time.Second, "picks know that it passes", passed)
			} else if passed() {
				t.Error("the check has passed")
			}
		})
	}
}

func TestGRPCCheckOverTLS(t *testing.T) {
	if forked(t) {
		return
	}
	ca := newAuthority(t)
	config := ca.server(t, []string{"h2"}, "check.example")
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	service := health.NewServer()
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, service)
	// The server of net/http does the handshake, gRPC's handler the rest.
	https := &http.Server{Handler: server}
	go https.Serve(l)
	t.Cleanup(func() { https.Close() })
	p := run(t, policy("https://"+l.Addr().String(), "smooth_weighted_round_robin", "panic_threshold 0\n"+
		check("grpc", "initial checking", "host check.example"), "transport http {\n tls_trust_pool file "+ca.file+"\n}"))
	eventually(t, 3*time.Second, "the check passes", func() bool { return logs.count("upstream is healthy") == 1 })
	service.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	eventually(t, outBound, "out", func() bool { return p.get("/").status == http.StatusServiceUnavailable })
}
