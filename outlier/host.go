package outlier

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/internal/registry"
)

// Phase is where an upstream is on its way out and back.
type Phase uint8

const (
	Serving   Phase = iota
	Ejected         // gets nothing
	Probation       // gets one request at a time, until one succeeds
)

// Host is what requests have told of a dial address, to all pools with the same
// rules. It knows no pool: those that subscribe are told of changes by a
// function. Instants are arguments.
type Host struct {
	rules *Rules

	// clean is whether the upstream is serving and no failure is remembered: then
	// good answers change nothing, and take no lock. It is written with mu held.
	clean atomic.Bool

	mu       sync.Mutex // guards all below
	streaks  streaks
	counts   [2]count // of this interval and the one before, by its number's parity
	phase    Phase
	since    int64  // when the latest ejection began; 0 for never
	until    int64  // when it ends
	inARow   int    // ejections in a row
	rule     string // of the latest ejection
	limited  bool   // max_ejection_percent holds for the latest ejection
	returned int64  // when the upstream last came back from an ejection; 0 for never
	failed   int64  // when the first failure was after the latest good answer; 0 for none
	failing  bool   // it would be ejected, were it not the last upstream
	probing  int    // picks and attempts of the present probation
	round    int    // number of the latest probation; 0 for none yet

	subscribers []*Subscription
}

// Subscription is a function that is told of changes of hosts.
type Subscription struct{ changed func() }

// Subscribe returns a subscription to hosts that calls the function when a host
// is ejected, or comes back.
func Subscribe(changed func()) *Subscription { return &Subscription{changed} }

// hosts are those of all addresses in use or remembered.
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
	if h.phase == Ejected && now >= h.until {
		h.phase, h.probing = Probation, 0
		h.round++
	}
	return h.phase
}

// tidy notes whether there is nothing to remember. mu is held.
func (h *Host) tidy() {
	h.clean.Store(h.phase == Serving && h.streaks == streaks{} && h.failed == 0 && !h.failing)
}

// State is what is held of an upstream at a moment.
type State struct {
	Phase      Phase
	Until      int64  // when an ejection ends; 0 for none
	Returned   int64  // when the upstream last came back from an ejection; 0 for never
	Failing    bool   // it would be ejected, were it not the last upstream
	Limited    bool   // it is not serving, by an ejection that max_ejection_percent holds for
	Busy       bool   // it is on probation and has its one request
	Unanswered int    // attempts in a row that had no answer
	Rule       string // of the latest ejection; empty for none
}

// State returns what is held of the upstream. A nil Host is serving.
func (h *Host) State(now int64) (s State) {
	if h == nil {
		return s
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.Phase = h.at(now); s.Phase == Ejected {
		s.Until = h.until
	}
	s.Returned, s.Failing, s.Rule, s.Unanswered = h.returned, h.failing, h.rule, h.streaks.local.all
	s.Limited = s.Phase != Serving && h.limited
	s.Busy = s.Phase == Probation && h.probing > 0
	return s
}

// Busy reports whether an upstream on probation has its one request, or has failed
// it and is ejected again.
func (h *Host) Busy(now int64) bool {
	if h == nil || h.clean.Load() {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.at(now)
	return at == Ejected || at == Probation && h.probing > 0
}

// Claim takes the place of the one request of an upstream on probation, and returns
// the number of that probation; 0 where the upstream is on none. It returns false
// if another request has the place, or had it and failed. With busy, a request
// goes there beside the one.
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
	if h.probing > 0 && !busy {
		return 0, false
	}
	h.probing++
	return h.round, true
}

// Drop gives back a place on the probation, if any: no attempt has followed, or one
// that told nothing of the upstream. A report on the round gives it back, too.
func (h *Host) Drop(round int) {
	if h == nil || round == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leave(round)
}

// leave gives back a place on the probation, and reports whether that is the
// present one. mu is held.
func (h *Host) leave(round int) bool {
	if round == 0 || round != h.round || h.phase != Probation {
		return false
	}
	h.probing = max(h.probing-1, 0)
	return true
}

// Complete notes that the response to an attempt came to its end.
func (h *Host) Complete(began int64) {
	if h == nil || h.clean.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.tidy()
	if began >= h.returned {
		h.streaks.local = streak{}
	}
}

// KeepLast notes that the upstream would be ejected, were it not the last one,
// until an attempt on it succeeds. It reports whether that is news.
func (h *Host) KeepLast() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.tidy()
	news := h.phase == Serving && !h.failing
	h.failing = h.phase == Serving
	return news
}

// Ejection is an ejection that has begun.
type Ejection struct {
	Rule   string
	Lasts  time.Duration
	InARow int // 1 for the first
}

// Eject begins an ejection. It returns false if there is one already. Random, from
// 0 to 1, is the share of the jitter that is added.
func (h *Host) Eject(now int64, rule string, limited bool, random float64) (e Ejection, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.tidy()
	at := h.at(now)
	if at == Ejected {
		return e, false
	}
	if at == Serving && h.returned != 0 {
		// One healthy interval takes back one ejection.
		h.inARow -= min(h.inARow, int((now-h.returned)/int64(h.rules.Interval)))
	}
	h.inARow++
	lasts := balance.EjectionTime(h.rules.Base, h.rules.Max, h.inARow)
	lasts += time.Duration(random * float64(h.rules.Jitter))
	h.phase, h.since, h.until = Ejected, now, now+int64(lasts)
	h.rule, h.limited, h.streaks, h.failed, h.failing = rule, limited, streaks{}, 0, false
	return Ejection{Rule: rule, Lasts: lasts, InARow: h.inARow}, true
}

// Release ends an ejection that began before failed: a check has failed since, and
// then passed. What follows is the probation. It reports whether there was one.
func (h *Host) Release(now, failed int64) bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.at(now) != Ejected || failed < h.since {
		return false
	}
	h.until = now
	h.at(now)
	return true
}

// Add has the subscription told of changes. Added twice, it must be removed twice.
func (h *Host) Add(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subscribers = append(h.subscribers, s)
}

// Remove ends what Add has begun.
func (h *Host) Remove(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.subscribers, s); i >= 0 {
		h.subscribers = slices.Delete(h.subscribers, i, i+1)
	}
}

// Changed tells all subscribers. They must not call the host before they return.
func (h *Host) Changed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.subscribers {
		s.changed()
	}
}
