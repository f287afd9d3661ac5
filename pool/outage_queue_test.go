package pool

import (
	"context"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/request"
	"github.com/caddy-evenkeel/evenkeel/queue"
)

// Requests have waited in the queue for longer than hold lets them, when their upstream
// restarts. They go on waiting: the restart is short, and the time of the queue not over.
func TestAQueueOutlastsARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{DefaultMaxRequests: 1, Queue: &queue.Options{Length: 30, Timeout: caddy.Duration(time.Minute)}}
		b := newOutage(t, o, 1)
		b.take(500 * time.Millisecond)
		var all []<-chan outcome
		for range 20 {
			all = append(all, b.come())
		}
		time.Sleep(5 * time.Second)
		b.set(true)
		time.Sleep(2500 * time.Millisecond)
		b.set(false)
		for i, done := range all {
			if o := <-done; o.err != nil {
				t.Errorf("request %d: %+v", i, o)
			}
		}
	})
}

// An outage lasts longer than the timeout of the queue. What hold has let wait goes on all
// the same when the upstream is back, and full.
func TestWhatIsHeldOutlastsTheTimeoutOfTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutage(t, Options{
			DefaultMaxRequests: 4, Queue: &queue.Options{Length: 50, Timeout: caddy.Duration(5 * time.Second)},
			Hold: &queue.HoldOptions{Duration: caddy.Duration(time.Minute)},
		}, 1)
		b.take(100 * time.Millisecond)
		b.set(true)
		var all []<-chan outcome
		for range 50 {
			all = append(all, b.come())
		}
		time.Sleep(10 * time.Second)
		b.set(false)
		for i, done := range all {
			if o := <-done; o.err != nil {
				t.Errorf("request %d: %+v", i, o)
			}
		}
	})
}

// A client leaves while its request waits, and nobody sees the outage end. The next one,
// an hour later, is bridged for as long as any.
func TestAClientThatLeftCostsNoHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutage(t, Options{}, 1)
		b.set(true)
		r := get()
		ctx, leave := context.WithCancel(r.Context())
		left := make(chan outcome)
		go func() { left <- b.serve(r.WithContext(ctx)) }()
		time.Sleep(150 * time.Millisecond)
		leave()
		<-left
		b.changed() // as a check does, or what becomes of another upstream
		time.Sleep(time.Second)
		b.set(false)
		time.Sleep(time.Hour)
		b.set(true)
		next := b.come()
		time.Sleep(time.Second)
		b.set(false)
		if o := <-next; o.err != nil {
			t.Errorf("%+v", o)
		}
	})
}

// The queue was full, so the request is refused. Where the site has lb_try_duration, Caddy
// asks again: the request goes on once there is room, behind those that wait.
func TestARefusedRequestIsTriedAgainWhereTheSiteSaysSo(t *testing.T) {
	for name, triesOn := range map[string]bool{"with lb_try_duration": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newOutage(t, Options{DefaultMaxRequests: 1, Queue: &queue.Options{Length: 1, Timeout: caddy.Duration(time.Minute)}}, 1)
				b.triesOn = triesOn
				r, u := get(), b.statics[0]
				ask := func() bool { return b.handle.Select(b.statics, r, httptest.NewRecorder()) != nil }
				busy(u, 1)
				waits := b.come()
				for range 2 {
					if ask() {
						t.Error("picked, though it is full, and so is the queue")
					}
				}
				busy(u, 0)
				if ask() {
					t.Error("picked, though another request waits")
				}
				if o := <-waits; o.err != nil {
					t.Errorf("the one that waits: %+v", o)
				}
				if ask() != triesOn {
					t.Errorf("picked: %t, though there is room", !triesOn)
				}
				if why, refused := request.Replacer(r).Get(reasonKey); refused == triesOn {
					t.Errorf("the reason is %v", why)
				}
			})
		})
	}
}
