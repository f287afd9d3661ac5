package pool

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/internal/registry"
)

// phase is where an upstream is on its way out and back.
type phase uint8

const (
	serving   phase = iota
	ejected         // gets nothing
	probation       // gets one request at a time, until one succeeds
)

// lapse is after what time a pick counts for nothing that no attempt has
// followed: the request ended, or Caddy had something against it.
const lapse = int64(time.Second)

// outlier is what requests tell about an address, to all pools with the same
// rules.
type outlier struct {
	rules *rules

	// clean is whether the upstream is serving and no failure is remembered: then
	// good answers change nothing, and take no lock. It is written with the mutex
	// held.
	clean atomic.Bool

	mu    sync.Mutex // guards all below
	row   row
	count [2]count // in this interval and the one before, by its number's parity

	phase   phase
	since   int64  // when the latest ejection began; 0 for never
	until   int64  // when it ends
	times   int    // ejections in a row
	because string // of the latest one
	limited bool   // the latest one is one of those that a share is set for
	proven  int64  // when the upstream last came back from an ejection; 0 for never
	silent  int64  // when the first failure was after the latest good answer; 0 for none
	failing bool   // it would be ejected, were it not the last upstream
	claimed int64  // when one on probation was last picked; 0 once an attempt has followed
	probing int    // attempts in flight that began on this probation
	round   int    // number of the latest probation

	pools map[*Pool]struct{}
}

// count is of the attempts in one interval.
type count struct {
	interval      int64
	total, failed int
}

// outliers are those of all addresses in use or remembered.
var outliers registry.Registry[outlierKey, outlier]

type outlierKey struct{ rules, address string }

// at returns the phase at the given instant. The mutex is held.
func (o *outlier) at(now int64) phase {
	if o.phase == ejected && now >= o.until {
		o.phase, o.claimed, o.probing = probation, 0, 0
		o.round++
	}
	return o.phase
}

// tidy notes whether there is nothing to remember. The mutex is held.
func (o *outlier) tidy() {
	o.clean.Store(o.phase == serving && o.row == row{} && o.silent == 0 && !o.failing)
}

// look is what the outlier detection holds of an upstream at a moment.
type look struct {
	phase   phase
	until   int64 // when the phase ends by itself; 0 for never
	proven  int64 // when the upstream last came back from an ejection; 0 for never
	failing bool  // it would be ejected, were it not the last upstream
	held    bool  // it is out, or not back for good, by an ejection for which a share is set
}

// look returns what is held of the upstream.
func (o *outlier) look(now int64) (l look) {
	if o == nil {
		return l
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if l.phase = o.at(now); l.phase == ejected {
		l.until = o.until
	}
	l.proven, l.failing, l.held = o.proven, o.failing, l.phase != serving && o.limited
	return l
}

// busy reports whether one on probation has its request, or has failed it and is
// out again.
func (o *outlier) busy(now int64) bool {
	if o.clean.Load() {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	at := o.at(now)
	return at == ejected || at == probation && o.taken(now)
}

func (o *outlier) taken(now int64) bool {
	return o.probing > 0 || o.claimed != 0 && now-o.claimed < lapse
}

// claim takes the place of the one request of an upstream on probation. It
// reports false if another one has it, or had it and failed.
func (o *outlier) claim(now int64) bool {
	if o.clean.Load() {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch at := o.at(now); {
	case at == serving:
		return true
	case at == ejected || o.taken(now):
		return false
	}
	o.claimed = now
	return true
}

// begin notes that an attempt begins, and returns the number of the probation
// that it begins on; zero if it does on none.
func (o *outlier) begin(now int64) (round int) {
	if o == nil || o.clean.Load() {
		return 0
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.at(now) != probation {
		return 0
	}
	o.claimed = 0
	o.probing++
	return o.round
}

// drop notes that an attempt has ended which began on the given probation, if any,
// and tells nothing of the upstream.
func (o *outlier) drop(round int) {
	if o == nil || round == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.probed(round)
}

// probed counts out an attempt that began on the given probation, and reports
// whether that is the present one. The mutex is held.
func (o *outlier) probed(round int) bool {
	if round == 0 || round != o.round || o.phase != probation {
		return false
	}
	o.probing = max(o.probing-1, 0)
	return true
}

// complete notes that the response to an attempt came to its end.
func (o *outlier) complete(began int64) {
	if o == nil || o.clean.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.tidy()
	if began >= o.proven {
		o.row.local = streak{}
	}
}

// last notes that the upstream would be ejected, were it not the last one, until
// an attempt on it succeeds. It reports whether that is news.
func (o *outlier) last() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.tidy()
	news := o.phase == serving && !o.failing
	o.failing = o.phase == serving
	return news
}

// eject begins an ejection, unless there is one. It returns which one in a row
// it is, and how long it lasts.
func (o *outlier) eject(now int64, because string, limited bool, random float64) (times int, lasts time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.tidy()
	at := o.at(now)
	if at == ejected {
		return 0, 0
	}
	if at == serving && o.proven != 0 {
		// One healthy interval takes back one ejection.
		o.times -= min(o.times, int((now-o.proven)/int64(o.rules.Interval)))
	}
	o.times++
	lasts = balance.EjectionTime(o.rules.Base, o.rules.Max, o.times)
	lasts += time.Duration(random * float64(o.rules.Jitter))
	o.phase, o.since, o.until = ejected, now, now+int64(lasts)
	o.because, o.limited, o.row, o.silent, o.failing = because, limited, row{}, 0, false
	return o.times, lasts
}

// release ends an ejection that began before failed, for a check has failed and
// then passed since; what follows is the probation. It reports whether there was
// one.
func (o *outlier) release(now, failed int64) bool {
	if o == nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.at(now) != ejected || failed < o.since {
		return false
	}
	o.until = now
	o.at(now)
	return true
}

// state describes why and for how long the upstream is ejected; empty if it is
// not.
func (o *outlier) state(now int64) string {
	if o == nil {
		return ""
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch o.at(now) {
	case ejected:
		return "ejected for " + o.because + ", for another " + time.Duration(o.until-now).Round(time.Second).String()
	case probation:
		if o.taken(now) {
			return "on probation after an ejection for " + o.because + ", with its one request"
		}
	}
	return ""
}

// join and leave have a pool told of what happens to the upstream.
func (o *outlier) join(p *Pool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pools == nil {
		o.pools = make(map[*Pool]struct{})
	}
	o.pools[p] = struct{}{}
}

func (o *outlier) leave(p *Pool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.pools, p)
}

// changed tells all pools.
func (o *outlier) changed() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p := range o.pools {
		p.changed()
	}
}
