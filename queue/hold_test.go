package queue

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// holdTest is upstreams that are down, and requests that wait for them.
type holdTest struct {
	queue *Queue
	wg    sync.WaitGroup

	mu     sync.Mutex
	state  Reason
	until  int64 // of the hold, where all are down
	served []int
	ended  map[int]Refusal
	at     map[int]time.Duration // when
	began  time.Time
}

func newHoldTest(o *Options, h HoldOptions) *holdTest {
	return &holdTest{
		queue: New(o, &h), state: AllDown, until: instant.Now() + int64(h.Duration),
		ended: make(map[int]Refusal), at: make(map[int]time.Duration), began: time.Now(),
	}
}

func (h *holdTest) look(late bool) Look {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.state == NoReason || h.state == Returning && late:
		return Look{Address: "u"}
	case h.state == AllDown && instant.Now() >= h.until:
		return Look{}
	}
	return Look{Wait: h.state, Until: h.until}
}

func (h *holdTest) come(ctx context.Context, number int) {
	h.wg.Go(func() {
		first, _ := h.queue.Latest(Key{})
		if first.Wait == NoReason {
			first = h.look(false)
		}
		picked := false
		refused := h.queue.Wait(ctx, Key{}, first, func(late bool) Look {
			found := h.look(late)
			if picked = found.Address != ""; picked {
				h.mu.Lock()
				h.served = append(h.served, number)
				h.mu.Unlock()
			}
			return found
		})
		h.mu.Lock()
		defer h.mu.Unlock()
		h.at[number] = time.Since(h.began)
		if !picked {
			if h.ended[number] = refused; refused == None {
				h.ended[number] = gaveUp
			}
		}
	})
	synctest.Wait()
}

func (h *holdTest) become(state Reason) {
	h.mu.Lock()
	h.state = state
	h.mu.Unlock()
	h.queue.Wake(nil)
	synctest.Wait()
}

func threeSeconds(requests int) HoldOptions {
	return HoldOptions{Duration: caddy.Duration(3 * time.Second), Requests: requests}
}

func TestHeldRequestsKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHoldTest(nil, threeSeconds(100))
		for n := range 100 {
			h.come(t.Context(), n)
			time.Sleep(time.Millisecond)
		}
		h.come(t.Context(), 100)
		if h.ended[100] != HoldFull {
			t.Errorf("the one too many: %q", h.ended[100])
		}
		if n := h.queue.Held(); n != 100 {
			t.Errorf("%d wait", n)
		}
		began := time.Now()
		h.become(NoReason)
		h.wg.Wait()
		if !slices.Equal(h.served, upTo(100)) || time.Since(began) > 0 || !h.queue.Empty() {
			t.Errorf("served within %v: %v", time.Since(began), h.served)
		}
	})
}

// Nobody waits for longer than hold, nor after it has passed since the loss.
func TestHoldEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHoldTest(nil, threeSeconds(10))
		for n := range 3 {
			h.come(t.Context(), n)
			time.Sleep(time.Second)
		}
		h.wg.Wait()
		for n := range 3 {
			if h.at[n] != 3*time.Second || h.ended[n] == None {
				t.Errorf("request %d: %q after %v", n, h.ended[n], h.at[n])
			}
		}
	})
}

// An upstream is back, but has all that it may have: requests whose time is over go on.
func TestLateRequestsGoToAReturningUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHoldTest(nil, threeSeconds(10))
		for n := range 3 {
			h.come(t.Context(), n)
			time.Sleep(500 * time.Millisecond)
		}
		h.become(Returning)
		h.wg.Wait()
		if !slices.Equal(h.served, upTo(3)) {
			t.Errorf("served: %v; others: %v", h.served, h.ended)
		}
		for n := range 3 {
			if want := 3*time.Second + time.Duration(n)*500*time.Millisecond; h.at[n] != want {
				t.Errorf("request %d after %v, want %v", n, h.at[n], want)
			}
		}
	})
}

// Where upstreams that are back are full, the requests wait on as those do that the
// option queue lets wait.
func TestHeldRequestsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHoldTest(&Options{Length: 1, Timeout: caddy.Duration(time.Minute)}, threeSeconds(10))
		for n := range 3 {
			h.come(t.Context(), n)
		}
		h.become(AllFull)
		h.come(t.Context(), 3)
		h.come(t.Context(), 4)
		if h.ended[4] != Full {
			t.Errorf("the one too many of those that queue: %q", h.ended[4])
		}
		time.Sleep(30 * time.Second)
		h.become(NoReason)
		h.wg.Wait()
		if !slices.Equal(h.served, upTo(4)) {
			t.Errorf("served: %v; others: %v", h.served, h.ended)
		}
	})
}

func TestHeldRequestLeavesWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHoldTest(nil, threeSeconds(10))
		ctx, leave := context.WithCancel(t.Context())
		h.come(ctx, 0)
		h.come(t.Context(), 1)
		closed := false
		h.queue.Close(func() { closed = true })
		time.Sleep(time.Second)
		leave()
		synctest.Wait()
		if h.ended[0] != gaveUp || h.at[0] != time.Second || closed {
			t.Errorf("%q after %v; closed: %t", h.ended[0], h.at[0], closed)
		}
		h.become(NoReason)
		h.wg.Wait()
		if !slices.Equal(h.served, []int{1}) || !closed {
			t.Errorf("served: %v; closed: %t", h.served, closed)
		}
	})
}
