package healthcheck

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/app"
)

var (
	saysFail     = http.Header{"X-Envoy-Immediate-Health-Check-Fail": {"true"}}
	saysDegraded = http.Header{"X-Envoy-Degraded": {""}}
	saysNothing  = http.Header{"Content-Type": {"text/plain"}, "Date": {"today"}}
)

const (
	isFailing  = "unhealthy map[check:test duration:0s fails:0 from:healthy host:10.0.0.0:80 passes:0 reason:response has the header X-Envoy-Immediate-Health-Check-Fail to:unhealthy upstream:10.0.0.0:80]"
	isDegraded = "degraded map[check:test host:10.0.0.0:80 reason:response has the header X-Envoy-Degraded upstream:10.0.0.0:80]"
	isLifted   = "undegraded map[check:test host:10.0.0.0:80 reason:passed upstream:10.0.0.0:80]"
)

func TestResponseFailsTheUpstreamAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r, e := newReporting(t, `,"passes":3,"fails":9,"on_response":{}`)
		w := c.own[0]
		w.Response(saysNothing)
		e.expect(t, 0)
		w.Response(saysFail)
		if s := w.State(); s.Verdict != Unhealthy || s.Since != time.Now() || !s.Failed.IsZero() {
			t.Errorf("%+v", s)
		}
		e.expect(t, 1, isFailing)
		for range 10 {
			w.Response(saysFail) // it is out already
		}
		e.expect(t, 0)

		r.set(Report{}, nil)
		sleep(2 * time.Second)
		w.Response(saysFail) // still not well: all over again
		e.expect(t, 0)
		sleep(2 * time.Second)
		if s := w.State(); s.Verdict != Unhealthy || s.Passes != 2 {
			t.Errorf("%+v", s)
		}
		sleep(time.Second)
		if s := w.State(); s.Verdict != Healthy || s.Recovered != s.Since {
			t.Errorf("after as many as passes says: %+v", s)
		}
	})
}

func TestResponseDegradesTheUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r, e := newReporting(t, `,"on_response":{}`)
		w := c.own[0]
		w.Response(saysDegraded)
		if s := w.State(); !s.Degraded || s.Verdict != Healthy {
			t.Errorf("%+v", s)
		}
		w.Response(saysDegraded)
		w.Response(saysNothing) // what others say does not lift it
		e.expect(t, 1, isDegraded)
		for _, step := range []struct {
			report Report
			err    error
			still  bool
		}{
			{Report{Header: saysDegraded}, nil, true},
			{Report{}, errFailed, true},
			{neutral, errFailed, true},
			{Report{Header: saysNothing}, nil, false},
		} {
			r.set(step.report, step.err)
			sleep(time.Second)
			if s := w.State(); s.Degraded != step.still {
				t.Errorf("%+v after %+v", s, step)
			}
		}
		e.expect(t, 1, isLifted)
		r.set(Report{Header: saysDegraded}, errFailed) // a probe says so, too
		sleep(time.Second)
		e.expect(t, 1, isDegraded)
	})
}

func TestDegradedOutlivesAChangeOfTheCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _ := newReporting(t, `,"on_response":{}`)
		c.own[0].Response(saysDegraded)
		next := newConfig(t, `{"on_response":{},"interval":"7s"}`, nil).watch(1, nil)
		if s := next.own[0].State(); !s.Degraded || s.Decided {
			t.Errorf("%+v", s)
		}
	})
}

func TestProbeFailsTheUpstreamAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r, _ := newReporting(t, `,"fails":9,"on_response":{"fail":"x-down"}`)
		r.set(Report{Header: saysFail}, nil)
		sleep(time.Second)
		if s := c.own[0].State(); s.Verdict != Healthy {
			t.Errorf("by a field that is not asked for: %+v", s)
		}
		for _, err := range []error{nil, errFailed} {
			r.set(Report{}, nil)
			sleep(2 * time.Second)
			r.set(Report{Header: http.Header{"X-Down": {"1"}}}, err)
			sleep(time.Second)
			if s := c.own[0].State(); s.Verdict != Unhealthy || s.Reason != "response has the header X-Down" || s.Failed != s.Probed {
				t.Errorf("%+v", s)
			}
		}
	})
}

// A probe that was under way when a response failed the upstream may have been
// answered before.
func TestProbeOvertakenByAResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRecorder()
		b.set(500*time.Millisecond, nil)
		c := newConfig(t, `{"interval":"10s","passes":1,"fails":1,"on_response":{}}`, b.probe).watch(1, nil).start()
		for b.count() == 0 {
			sleep(10 * time.Millisecond)
		}
		w := c.own[0]
		w.Response(saysFail)
		w.Response(saysDegraded)
		sleep(time.Second)
		if s := w.State(); s.Verdict != Unhealthy || !s.Degraded || s.Passes != 0 || s.Probed.IsZero() {
			t.Errorf("%+v", s)
		}
		sleep(12 * time.Second)
		if s := w.State(); s.Verdict != Healthy || s.Degraded {
			t.Errorf("%+v", s)
		}
		b.set(500*time.Millisecond, errFailed) // that one counts
		for n := b.count(); b.count() == n; {
			sleep(10 * time.Millisecond)
		}
		w.Response(saysFail)
		sleep(time.Second)
		if s := w.State(); s.Fails != 1 || s.Failed != s.Probed {
			t.Errorf("%+v", s)
		}
	})
}

func TestResponseThatSaysNothingNewIsFree(t *testing.T) {
	bare := newConfig(t, `{}`, nil).watch(1, nil).own[0]
	asks := newConfig(t, `{"on_response":{}}`, nil).watch(1, nil).own[0]
	out := newConfig(t, `{"on_response":{},"name":"out"}`, nil).watch(1, nil).own[0]
	out.Response(saysFail)
	out.Response(saysDegraded)
	both := http.Header{"X-Envoy-Degraded": {""}, "X-Envoy-Immediate-Health-Check-Fail": {""}}
	// A call that takes the mutex hangs.
	monitor.mu.Lock()
	defer monitor.mu.Unlock()
	for name, f := range map[string]func(){
		"no option":  func() { bare.Response(both) },
		"no header":  func() { asks.Response(nil) },
		"no field":   func() { asks.Response(saysNothing) },
		"known":      func() { out.Response(both) },
		"known fail": func() { out.Response(saysFail) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestResponseOfAWatchThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, _, e := newReporting(t, `,"on_response":{}`)
		next := newConfig(t, `{"interval":"1s","jitter":0,"on_response":{}}`, nil).watch(1, nil)
		old.close()
		old.own[0].Response(saysFail)
		e.expect(t, 0)
		if s := next.own[0].State(); s.Verdict != Healthy {
			t.Errorf("%+v", s)
		}
	})
}

func TestResponsesCloseAndProbesAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, r, _ := newReporting(t, `,"passes":1,"on_response":{}`)
		r.set(Report{}, nil)
		var requests sync.WaitGroup
		for i := range 20 {
			requests.Go(func() {
				for j := range 100 {
					c.own[0].Response([]http.Header{saysFail, saysDegraded, saysNothing}[(i+j)%3])
					time.Sleep(time.Duration(i+1) * time.Millisecond)
				}
			})
		}
		time.Sleep(1500 * time.Millisecond)
		c.close() // before the requests have ended
		requests.Wait()
	})
}

func TestCloseWaitsForWhatThereIsToTell(t *testing.T) {
	for name, happen := range map[string]func(*config){
		"of a response": func(c *config) { c.own[0].Response(saysFail) }, // does not wait itself
		"of a probe":    func(*config) {},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newConfig(t, `{"on_response":{}}`, func(context.Context, Target) error { return errFailed })
			release, told := make(chan struct{}), false
			if err := c.check.events.On("unhealthy", listener(func(caddy.Event) {
				<-release
				told = true
			})); err != nil {
				t.Fatal(err)
			}
			c.watch(1, nil).start()
			happen(c)
			sleep(time.Second)
			go func() {
				time.Sleep(app.ClosePatience / 2)
				close(release)
			}()
			c.close()
			if !told {
				t.Errorf("%s: closed while a listener was called", name)
			}
		})
	}
}

func TestHTTPReportsTheHeader(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Down", "1")
		if r.URL.Path == "/broken" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(server.Close)
	target := targetAt(t, server.Listener.Addr().String())
	for uri, reason := range map[string]string{"/": "<nil>", "/broken": "status 500, expected 200-299"} {
		report, err := provisioned(t, &HTTP{URI: uri}).Report(t.Context(), target)
		expectReason(t, err, reason)
		if report.Header.Get("X-Down") != "1" || report.Force != Counts {
			t.Errorf("%s: %+v", uri, report)
		}
	}
	report, err := provisioned(t, new(HTTP)).Report(t.Context(), targetAt(t, refused(t)))
	if err == nil || report.Header != nil {
		t.Errorf("%+v, %v", report, err)
	}
}
