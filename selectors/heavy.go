package selectors

import (
	"sync/atomic"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
)

// heavyShare is how much of one candidate's mean share of all requests a key has
// to have to be heavy. What a heavy key brings can be divided between upstreams,
// up to what is the share of each; so it is, and leaves what the bound allows
// above that to the many other keys, which would lose their upstreams all the time
// to the heavy ones that happen to live there. A cache has a heavy key in several
// places soon enough.
const heavyShare = 0.05

// sensible is the factor in percent at which heavy keys are kept to the mean; with
// a greater one, they may have more in proportion.
const sensible = 125

// traffic knows which keys are heavy.
type traffic struct {
	sketch atomic.Pointer[balance.Sketch]
	window int // of the sketch
}

const (
	leastWindow = 4096 // requests
	perUpstream = 64   // likewise: such a window is long enough to see heavy keys in
	enough      = 8    // times that a key has to come, to be told from chance
)

// fit makes room for the traffic of so many upstreams. Calls do not overlap.
func (t *traffic) fit(upstreams int) {
	if window := max(leastWindow, perUpstream*upstreams); window > t.window {
		t.window = window
		t.sketch.Store(balance.NewSketch(window))
	}
}

// share takes in a key, and returns what part of all requests of late it has; 0
// if that is hard to tell.
func (t *traffic) share(key uint64) float64 {
	sketch := t.sketch.Load()
	if sketch == nil {
		return 0
	}
	times, of := sketch.Add(key)
	if times < enough {
		return 0
	}
	return float64(times) / float64(of)
}
