package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// flapping is a backend that drops all connections in every other period.
type flapping struct {
	*backend
	from   time.Time // when it begins to flap
	offset time.Duration

	mu  sync.Mutex
	got []time.Time // requests
}

const flapPeriod = 200 * time.Millisecond

func (f *flapping) answers(at time.Time) bool {
	return at.Before(f.from) || (at.Sub(f.from)+f.offset)/flapPeriod%2 == 0
}

func (f *flapping) serve(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	if r.URL.Path != healthPath {
		f.mu.Lock()
		f.got = append(f.got, now)
		f.mu.Unlock()
	}
	if !f.answers(now) {
		drop(w, r)
	}
	ok(w, r)
}

func TestWhenAllAreFlapping(t *testing.T) {
	if forked(t) {
		return
	}
	t.Run("seen by requests", func(t *testing.T) { allFlap(t, "") })
	t.Run("seen by checks as well", func(t *testing.T) {
		allFlap(t, "health_check http "+healthPath+" {\n interval 50ms\n timeout 50ms\n fails 1\n passes 1\n}")
	})
}

// allFlap has five flap in turn, so that at any time two or three of them answer. About
// half of all attempts fail: more than the retry budget would bear.
func allFlap(t *testing.T, options string) {
	var all []*flapping
	var b []*backend
	for n := range 5 {
		f := &flapping{backend: start(t, fmt.Sprint("flaps ", n)), from: time.Now().Add(time.Hour), offset: time.Duration(n) * 2 * flapPeriod / 5}
		all, b = append(all, f), append(b, f.backend)
	}
	p := run(t, policy(addrs(b...), "smooth_weighted_round_robin", `panic_threshold 0
		retries 4
		retry_budget off
		outlier_detection {
			consecutive_local_origin_failures 2
			interval 1s
			base_ejection_time 300ms
			max_ejection_time 600ms
		}
		`+options, "transport http {\n keepalive off\n}"))
	warm := p.load(200)
	warm.last(300 * time.Millisecond)
	warm.stop()
	p.client.CloseIdleConnections()
	warm.last(300 * time.Millisecond) // for what they hold
	first := measure()
	for _, f := range all {
		f.from = time.Now()
		f.set(f.serve)
	}
	l := p.load(200)
	l.last(atLength(3*time.Second, time.Minute))
	t.Log(l.stop())
	h := newHistories(t, all)
	lost := 0
	for _, a := range l.history {
		if a.failed != "" {
			lost++
			h.excuses(a)
		}
	}
	ejections, spared := h.ejections()
	t.Logf("%d ejections, in which %d requests came for want of another upstream; %d of %d requests lost", ejections, spared, lost, len(l.history))
	if ejections < 5 {
		t.Error("too few ejections to tell anything")
	}
	setAll(b, ok)
	expectNoMore(t, p, first)
}

// span is a time.
type span struct{ from, to time.Time }

func (s span) overlaps(from, to time.Time) bool { return s.from.Before(to) && from.Before(s.to) }

// histories say when each backend was out, as told by the log.
type histories struct {
	t   *testing.T
	all []*flapping
	of  map[*flapping]*history
}

type history struct {
	down    []span // by its check
	ejected []span
}

func newHistories(t *testing.T, all []*flapping) *histories {
	h := &histories{t: t, all: all, of: make(map[*flapping]*history)}
	for _, f := range all {
		times := func(message string) (all []time.Time) {
			for _, line := range logs.find(message, "upstream", f.addr) {
				all = append(all, at(t, line))
			}
			return all
		}
		next := func(all []time.Time, after time.Time) time.Time {
			for _, at := range all {
				if at.After(after) {
					return at
				}
			}
			return time.Now()
		}
		out, in, back := times("upstream is unhealthy"), times("upstream is healthy"), times("upstream is back after its ejection")
		one := new(history)
		for _, from := range out {
			one.down = append(one.down, span{from, next(in, from)})
		}
		for _, line := range logs.find("upstream is ejected", "upstream", f.addr) {
			seconds, err := strconv.ParseFloat(line["duration"], 64)
			if err != nil {
				t.Fatal(err)
			}
			from := at(t, line)
			end := from.Add(time.Duration(seconds * float64(time.Second)))
			for _, early := range []time.Time{next(in, from), next(back, from)} {
				if early.Before(end) { // by a check, or a request that found nobody else
					end = early
				}
			}
			one.ejected = append(one.ejected, span{from, end})
		}
		h.of[f] = one
	}
	return h
}

// overlap reports whether one of the spans overlaps the given one.
func overlap(spans []span, from, to time.Time) bool {
	return slices.ContainsFunc(spans, func(s span) bool { return s.overlaps(from, to) })
}

// margin is how inexact the times of events are.
const margin = 50 * time.Millisecond

// excuses expects that nobody could have served the lost request: for all its
// time, an upstream that answers and that no check holds to be down. An ejection is
// no excuse.
func (h *histories) excuses(a arrival) {
	h.t.Helper()
	from, to := a.due.Add(-margin), a.due.Add(a.took+margin)
	for _, f := range h.all {
		one := h.of[f]
		if f.answers(from) && f.answers(to) && to.Sub(from) < flapPeriod &&
			!overlap(one.down, from, to) {
			h.t.Errorf("request lost (%v) although %s was there", a, f.name)
			return
		}
	}
}

// ejections returns how many there were, and how many requests the ejected got all
// the same, for want of another upstream.
func (h *histories) ejections() (n, requests int) {
	for _, f := range h.all {
		n += len(h.of[f].ejected)
		f.mu.Lock() // a request may be on its way still
		for _, got := range f.got {
			if overlap(h.of[f].ejected, got, got) {
				requests++
			}
		}
		f.mu.Unlock()
	}
	return n, requests
}
