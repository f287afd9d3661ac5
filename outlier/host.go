package outlier

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/internal/registry"
)

// Phase is where an upstream is between service and ejection.
type Phase uint8

const (
	Serving   Phase = iota
	Ejected         // gets nothing
	Probation       // gets one request at a time, until one succeeds
)

// Host is the state of a dial address under one set of rules, for all pools with
// those rules. Pools subscribe to its changes with a function. Times are instants, and
// arguments.
type Host struct {
	rules *Rules

	// clean is whether the upstream is serving and has no failure to remember: then a
	// good answer changes nothing, and takes no lock. It is written with mu held.
	clean atomic.Bool

	mu       sync.Mutex // guards all below
	streaks  streaks
	counts   [2]count // of this interval and the one before, by the parity of their numbers
	phase    Phase
	since    int64  // when the latest ejection began; 0 for never
	until    int64  // when it ends
	inARow   int    // ejections in a row, less one for each healthy interval since
	rule     string // of the latest ejection
	limited  bool   // max_ejection_percent holds for the latest ejection
	returned int64  // when the upstream last came back from an ejection; 0 for never
	failed   int64  // when the first failure was after the latest good answer; 0 for none
	failing  bool   // it would be ejected, if it were not the last upstream
	lost     bool   // the ejection, or failing, is for want of a connection
	closed   bool   // likewise, for a connection that was closed before any answer
	seeking  int    // pools that connect to the upstream, to see when it is back
	misses   int    // failures in a row that were connections of pools: see [Host.Missed]
	accepted int    // connections of those that no good answer has followed yet
	testing  int    // picks and attempts of the present probation
	round    int    // number of the latest probation; 0 for none yet

	subscribers []*Subscription
}

// hosts are those of all addresses that are in use or remembered.
var hosts registry.Registry[key, Host]

type key struct{ rules, address string }

// Acquire returns the host of the address under the rules. [Release] gives it back.
func Acquire(r *Rules, address string) *Host {
	return hosts.Acquire(key{r.key, address}, func() *Host { return &Host{rules: r} })
}

// Release gives back what [Acquire] has returned under rules of the key.
func Release(rules, address string) { hosts.Release(key{rules, address}) }

// at returns the phase at the instant. mu is held.
func (h *Host) at(now int64) Phase {
	if h.phase == Ejected && now >= h.until && !(h.lost && h.seeking > 0) {
		h.test()
	}
	return h.phase
}

// test begins a probation. mu is held.
func (h *Host) test() {
	h.phase, h.testing = Probation, 0
	h.round++
}

// tidy sets clean. mu is held.
func (h *Host) tidy() {
	h.clean.Store(h.phase == Serving && h.streaks == streaks{} && h.failed == 0 && !h.failing && h.accepted == 0)
}

// State is the state of a host at an instant.
type State struct {
	Phase      Phase
	Until      int64  // when an ejection ends by itself; 0 for not at all
	Returned   int64  // when the upstream last came back from an ejection; 0 for never
	Failing    bool   // it would be ejected, if it were not the last upstream
	Lost       bool   // it is ejected, or failing, for want of a connection
	Closed     bool   // likewise, for a connection that was closed before any answer
	Accepted   int    // connections since then that no good answer has followed: see [Host.Reached]
	Limited    bool   // it is not serving, and max_ejection_percent holds for its ejection
	Busy       bool   // it is on probation and has its one request
	Unanswered int    // attempts in a row that got no answer
	Rule       string // of the latest ejection; empty for none
}

// State returns the state at the instant. Seeks is whether the pool that asks connects to
// upstreams by itself: for one that does not, no ejection lasts until another pool has
// connected. A nil Host is serving.
func (h *Host) State(now int64, seeks bool) (s State) {
	if h == nil {
		return s
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !seeks && h.phase == Ejected && now >= h.until {
		h.test()
	}
	if s.Phase = h.at(now); s.Phase == Ejected && !(h.lost && h.seeking > 0 && seeks) {
		s.Until = h.until
	}
	out := s.Phase == Ejected || h.failing
	s.Lost, s.Closed, s.Accepted = out && h.lost, out && h.closed, h.accepted
	s.Returned, s.Failing, s.Rule, s.Unanswered = h.returned, h.failing, h.rule, h.streaks.local.all
	s.Limited = s.Phase != Serving && h.limited
	s.Busy = s.Phase == Probation && h.testing > 0
	return s
}

// Busy reports whether an upstream on probation has its one request, or has failed
// that and is ejected again.
func (h *Host) Busy(now int64) bool {
	if h == nil || h.clean.Load() {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.at(now)
	return at == Ejected || at == Probation && h.testing > 0
}

// Claim makes a request the one that an upstream on probation gets, and returns the
// number of that probation; 0 where the upstream is on none. It returns false if
// another request is the one, or was and has failed. With busy, the request goes there
// beside the one.
func (h *Host) Claim(now int64, busy bool) (round int, ok bool) {
	if h == nil || h.clean.Load() {
		return 0, true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch h.at(now) {
	case Serving:
		return 0, true
	case Ejected:
		return 0, busy
	}
	if h.testing > 0 && !busy {
		return 0, false
	}
	h.testing++
	return h.round, true
}

// Drop undoes a claim of the probation with the number, if that is not 0: no attempt
// has followed, or the attempt showed nothing of the upstream. A report does so, too.
func (h *Host) Drop(round int) {
	if h == nil || round == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leave(round)
}

// leave undoes a claim. It reports whether the probation with the number is the
// present one. mu is held.
func (h *Host) leave(round int) bool {
	if round == 0 || round != h.round || h.phase != Probation {
		return false
	}
	h.testing = max(h.testing-1, 0)
	return true
}

// Complete notes that the response to an attempt that began then came to its end.
func (h *Host) Complete(began int64) {
	if h == nil || h.clean.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.tidy()
	if began >= h.returned {
		h.streaks.local, h.misses = streak{}, 0
	}
}

// KeepLast makes the upstream failing, or lost and failing: it would be ejected if it
// were not the last one. That ends when an attempt on it succeeds. It reports whether
// that is new.
func (h *Host) KeepLast(f Finding) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.tidy()
	isNew := h.phase == Serving && (!h.failing || h.lost != f.Lost)
	if h.failing = h.phase == Serving; h.failing {
		h.lost, h.closed = f.Lost, f.Closed
	}
	return isNew
}

// Ejection is an ejection that has begun.
type Ejection struct {
	Rule   string
	Lasts  time.Duration
	InARow int // 1 for the first
}

// Eject begins an ejection for what was found. It returns false if there is one
// already. Random, from 0 to 1, is the share of the jitter that is added.
func (h *Host) Eject(now int64, f Finding, random float64) (e Ejection, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.tidy()
	at := h.at(now)
	if at == Ejected {
		return e, false
	}
	if at == Serving && h.returned != 0 {
		// One healthy interval makes up for one ejection.
		h.inARow -= min(h.inARow, int((now-h.returned)/int64(h.rules.Interval)))
	}
	h.inARow++
	lasts := balance.EjectionTime(h.rules.Base, h.rules.Max, h.inARow)
	lasts += time.Duration(random * float64(h.rules.Jitter))
	h.phase, h.since, h.until = Ejected, now, now+int64(lasts)
	h.rule, h.limited, h.lost, h.closed = f.Rule, f.Limited, f.Lost, f.Closed
	h.streaks, h.misses, h.failed, h.failing = streaks{}, 0, 0, false
	return Ejection{Rule: f.Rule, Lasts: lasts, InARow: h.inARow}, true
}

// broken completes the finding with the rule that the streaks break, if they do. If the
// upstream may not be ejected, the count begins anew. mu is held.
func (h *Host) broken(f Finding) Finding {
	if f.Rule, f.Limited = h.rules.broken(h.streaks); f.Rule != "" {
		h.streaks, h.misses = streaks{}, 0
	}
	return f
}

// Release ends an ejection, if it began before failed: a check has failed then, and
// passed since. The probation follows. It reports whether an ejection has ended.
func (h *Host) Release(now, failed int64) bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at(now) != Ejected || failed < h.since {
		return false
	}
	h.test()
	return true
}
