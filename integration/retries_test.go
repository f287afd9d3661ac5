package integration

import (
	"net/http"
	"testing"
	"time"
)

// policies that every test of what they have in common is about.
var policies = []string{
	"smooth_weighted_round_robin", "weighted_random", "least_request", "peak_ewma", "managed random",
}

func TestRequestsSurviveADeadUpstreamWithoutAnyCheck(t *testing.T) {
	for _, name := range policies {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b", "c")
			b[1].stop()
			p := run(t, policy(addrs(b...), name, ""))
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				for range 40 {
					if a := p.do(method, "/", "text"); a.status != http.StatusOK {
						t.Fatalf("%s: %v", method, a)
					}
				}
			}
		})
	}
}

func TestPostBodySurvivesADialError(t *testing.T) {
	b := backends(t, "a", "b")
	b[0].stop()
	b[1].set(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		buffer := make([]byte, 100)
		n, _ := r.Body.Read(buffer)
		w.Write(buffer[:n])
	})
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", ""))
	for range 4 {
		if a := p.do(http.MethodPost, "/", "payload"); a.body != "payload" {
			t.Errorf("got %v", a)
		}
	}
}

func TestGetSurvivesADroppedConnectionAndPostDoesNot(t *testing.T) {
	b := backends(t, "a", "b")
	b[0].set(drop)
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", "outlier_detection off"))
	for range 10 {
		if a := p.get("/"); a.status != http.StatusOK {
			t.Fatal(a)
		}
	}
	failed := 0
	for range 10 {
		if a := p.do(http.MethodPost, "/", "text"); a.status != http.StatusOK {
			failed++
		}
	}
	if failed == 0 {
		t.Error("a POST that an upstream may have acted upon was repeated")
	}
}

func TestRetriesOffLeavesDeadUpstreamsToClients(t *testing.T) {
	b := backends(t, "a", "b")
	b[0].stop()
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", "retries 0"))
	failed := 0
	for range 10 {
		if a := p.get("/"); a.status == http.StatusBadGateway {
			failed++
		}
	}
	if failed != 5 {
		t.Errorf("%d of 10 requests failed with 502, want 5: %s", failed, requests(b...))
	}
}

func TestRetriesAvoidAllThatWereTried(t *testing.T) {
	for _, name := range policies {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b", "c")
			b[0].stop()
			b[2].stop()
			p := run(t, policy(addrs(b...), name, ""))
			for range 40 {
				if a := p.get("/"); a.status != http.StatusOK {
					t.Fatalf("two of three are dead, with two retries: %v", a)
				}
			}
		})
	}
}

func TestRetryMatchSendsOtherStatusesElsewhere(t *testing.T) {
	const match = "lb_retry_match {\n expression `{http.reverse_proxy.status_code} == 503`\n}"
	for _, name := range policies {
		t.Run(name, func(t *testing.T) {
			b := backends(t, "a", "b", "c")
			b[0].set(status(http.StatusServiceUnavailable))
			b[1].set(status(http.StatusServiceUnavailable))
			p := run(t, policy(addrs(b...), name, "", match))
			for range 40 {
				if a := p.get("/"); a.status != http.StatusOK || a.from() != "c" {
					t.Fatalf("a and b answer 503: %v", a)
				}
			}
		})
	}
}

// A request goes a second time only to an upstream that has seen nothing of it.
func TestWhenAllWereTriedARetryRepeatsFailedDialsAlone(t *testing.T) {
	b := backends(t, "a", "b")
	b[0].stop()
	b[1].set(drop)
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", "retries 5"))
	for n := range int64(6) {
		if a := p.do(http.MethodGet, "/", ""); a.status != http.StatusBadGateway || b[1].requests.Load() != n+1 {
			t.Fatalf("request %d: %v, and b got %d", n+1, a, b[1].requests.Load())
		}
	}
}

func TestFailedDialsAreRepeatedForAsLongAsCaddyMayTry(t *testing.T) {
	b := backends(t, "a", "b")
	b[0].stop()
	b[1].stop()
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", "", "lb_try_duration 20s"))
	var got answer
	done := make(chan struct{})
	go func() {
		defer close(done)
		got = p.do(http.MethodPost, "/", "text")
	}()
	b[1].start(t)
	if <-done; got.status != http.StatusOK {
		t.Errorf("b is back within lb_try_duration: %v", got)
	}
}

func TestAClientThatGoesAwayIsNotRetried(t *testing.T) {
	b := backends(t, "a", "b")
	b[0].set(hang)
	b[1].set(hang)
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", ""))
	p.client.Timeout = 200 * time.Millisecond
	if a := p.do(http.MethodGet, "/", ""); a.err == nil {
		t.Fatal(a)
	}
	holds(t, 300*time.Millisecond, "one attempt", func() bool {
		return b[0].requests.Load()+b[1].requests.Load() == 1
	})
}
