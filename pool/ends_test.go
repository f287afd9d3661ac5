package pool

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/outlier"
	"github.com/caddy-evenkeel/evenkeel/queue"
)

// fate is what becomes of one attempt, at random.
func fate(random *rand.Rand) answers {
	wait := time.Duration(random.Int64N(int64(3 * time.Second)))
	kind, status, body := random.IntN(8), []int{200, 200, 404, 500, 503, 429}[random.IntN(6)], random.IntN(3)
	return func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		switch kind {
		case 0:
			return nil, reverseproxy.NewDialError(errors.New("refused"))
		case 1:
			return nil, errors.New("reset")
		case 2:
			<-r.Context().Done()
			return nil, r.Context().Err()
		case 3:
			panic(http.ErrAbortHandler)
		}
		res := &http.Response{StatusCode: status, Header: make(http.Header)}
		switch body {
		case 0:
			res.Body = http.NoBody
		case 1:
			res.Body = io.NopCloser(strings.NewReader("text"))
		case 2:
			res.Body = breaks(io.ErrUnexpectedEOF)
		}
		return res, nil
	}
}

// Whatever becomes of requests, nothing of them is left once they are over.
func TestNothingIsLeftOfRequestsThatAreOver(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			seeds := rand.New(rand.NewPCG(seed, 1))
			o := Options{}
			if seeds.IntN(2) == 0 {
				o.DefaultMaxRequests = 1 + seeds.IntN(3)
			}
			if seeds.IntN(2) == 0 {
				o.Queue = &queue.Options{Length: 5, Timeout: caddy.Duration(4 * time.Second)}
			}
			if seeds.IntN(2) == 0 {
				o.OutlierDetection = &outlier.Options{}
			}
			if seeds.IntN(3) == 0 {
				o.RetrySame = true
			}
			b := newPool(t, o, 1+seeds.IntN(4))
			b.retried = seeds.IntN(2) == 0
			b.install(t, b.retried)
			b.upstreams = answers(func(r *http.Request) (*http.Response, error) {
				return r.Context().Value(fated{}).(answers)(r)
			})
			var wg sync.WaitGroup
			for range 150 {
				random := rand.New(rand.NewPCG(seeds.Uint64(), 2))
				begins := time.Duration(random.Int64N(int64(5 * time.Minute)))
				wg.Go(func() {
					time.Sleep(begins)
					b.live(random)
				})
			}
			wg.Wait()
			synctest.Wait()
			for i, m := range b.static.members {
				if b.inFlight(i) || m.inFlight.count.Load() != 0 || m.slots.Taken(b.statics[i]) != 0 {
					t.Errorf("seed %d: %s is held to have requests: %t, %d, %d slots", seed, m.address, b.inFlight(i), m.inFlight.count.Load(), m.slots.Taken(b.statics[i]))
				}
				if b.probing(i) {
					t.Errorf("seed %d: %s: the one request of the probation is held to be under way", seed, m.address)
				}
			}
			if !b.queue.Empty() {
				t.Errorf("seed %d: a request waits", seed)
			}
		})
	}
}

// live is a request's life, as Caddy leads it.
func (b *testPool) live(random *rand.Rand) {
	ctx, end := context.WithCancel(context.WithValue(context.Background(), caddy.ReplacerCtxKey, caddy.NewReplacer()))
	defer end()
	defer func() { _ = recover() }()
	patience := time.AfterFunc(time.Duration(random.Int64N(int64(10*time.Second))), end)
	defer patience.Stop()
	r := get().WithContext(ctx)
	r.URL.Host = ""
	for range 4 {
		u := b.handle.Select(b.statics, r, nil)
		if u == nil {
			return
		}
		if random.IntN(20) == 0 {
			return // Caddy had something against it
		}
		r.URL.Host = u.Dial
		res, err := b.attempt(r, u, random)
		if err == nil && !(b.retried && res.StatusCode == 503) {
			return
		}
	}
}

type fated struct{}

// attempt makes an attempt on the upstream, which Caddy counts meanwhile.
func (b *testPool) attempt(r *http.Request, u *reverseproxy.Upstream, random *rand.Rand) (*http.Response, error) {
	counts := (*atomic.Int64)(unsafe.Pointer(u.Host))
	counts.Add(1)
	defer counts.Add(-1)
	ctx := context.WithValue(r.Context(), fated{}, fate(random))
	ctx = context.WithValue(ctx, caddy.CtxKey("reverse_proxy.dial_info"), reverseproxy.DialInfo{Upstream: u, Address: u.Dial})
	ctx = context.WithValue(ctx, caddyhttp.ServerCtxKey, new(caddyhttp.Server))
	res, err := b.roundTrip(r.WithContext(ctx))
	if err == nil && random.IntN(10) > 0 {
		if random.IntN(4) > 0 {
			_, _ = io.Copy(io.Discard, res.Body)
		}
		res.Body.Close()
	}
	return res, err
}
