package queue

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// lose takes all upstreams down: the hold ends three seconds later.
func (h *holdTest) lose() {
	h.mu.Lock()
	h.until = instant.Now() + int64(3*time.Second)
	h.mu.Unlock()
	h.become(AllDown)
}

// A request may wait for a minute while upstreams are full, and for three seconds while they
// are down: neither wait shortens the other.
func TestEachReasonHasItsOwnClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHoldTest(&Options{Length: 10, Timeout: caddy.Duration(time.Minute)}, threeSeconds(10))
		h.become(AllFull)
		h.come(t.Context(), 0)
		time.Sleep(50 * time.Second)
		h.lose()
		h.come(t.Context(), 1)
		time.Sleep(2 * time.Second)
		h.become(AllFull)
		time.Sleep(5 * time.Second)
		h.come(t.Context(), 2)
		h.wg.Wait()
		for n, want := range []time.Duration{
			62 * time.Second,             // 50 s and 10 s in the queue
			52*time.Second + time.Minute, // from the end of the outage on
			57*time.Second + time.Minute, // from its arrival on
		} {
			if h.ended[n] != Timeout || h.at[n] != want {
				t.Errorf("request %d: %q after %v, want %v", n, h.ended[n], h.at[n], want)
			}
		}
	})
}

// The time in the queue does not count for hold either: after two seconds of outage and
// five in the queue, a request waits one more second for an upstream that has come back.
func TestHoldGoesOnAfterAQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHoldTest(&Options{Length: 10, Timeout: caddy.Duration(time.Minute)}, threeSeconds(10))
		h.come(t.Context(), 0)
		time.Sleep(2 * time.Second)
		h.become(AllFull)
		time.Sleep(5 * time.Second)
		h.become(Returning)
		h.wg.Wait()
		if len(h.served) != 1 || h.at[0] != 8*time.Second {
			t.Errorf("%q after %v", h.ended[0], h.at[0])
		}
	})
}

// Its hold is over, and the upstream that came back is full: the request goes on waiting, in
// the queue.
func TestALateRequestQueuesForWhatIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHoldTest(&Options{Length: 10, Timeout: caddy.Duration(time.Minute)}, threeSeconds(10))
		began := time.Now()
		refused := h.queue.Wait(t.Context(), Key{}, Look{Wait: Returning}, func(late bool) Look {
			switch waited := time.Since(began); {
			case waited >= 10*time.Second:
				return Look{Address: "u"}
			case late || waited >= 3*time.Second:
				return Look{Wait: AllFull}
			}
			return Look{Wait: Returning}
		})
		if took := time.Since(began); refused != None || took < 10*time.Second || took > 10*time.Second+longestPause {
			t.Errorf("%q after %v", refused, took)
		}
	})
}
