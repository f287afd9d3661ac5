package outlier

import (
	"net/http"
	"slices"
	"time"
)

// recalled is what the model remembers of an attempt.
type recalled struct {
	began     int64
	claimed   bool // it has a place on the probation, and has not begun
	ejections int  // that there had been when it began, or claimed its place
	probation bool // it began on probation
	round     int  // the number of which it was given
	reported  bool // its outcome is told
	open      bool // its response still has to come to its end
}

// out is an ejection.
type out struct {
	since, until int64
	back         int64 // when it was over for good; 0: not yet
	told         int   // how much had been told by then
	times        int
	because      string
	limited      bool
}

// told is what an attempt has told while the upstream was serving; the zero
// status stands for no answer, a negative one for the end of a response.
type told struct {
	at     int64
	status int
	open   bool
	anew   bool // a rule was broken: what was told up to here is dealt with
}

const complete = -1

// past is all that has ever happened to an upstream. What the upstream is now, the
// model finds by going through it.
type past struct {
	rules    *Rules
	failures map[int]bool // statuses that count as failures
	attempts []*recalled
	outs     []out
	told     []told
}

// latest is the latest ejection.
func (p *past) latest() *out {
	if len(p.outs) == 0 {
		return new(out)
	}
	return &p.outs[len(p.outs)-1]
}

func (p *past) phase(now int64) Phase {
	switch e := p.latest(); {
	case len(p.outs) == 0 || e.back != 0:
		return Serving
	case now < e.until:
		return Ejected
	}
	return Probation
}

// own reports whether the attempt belongs to the upstream's present probation.
func (p *past) own(a *recalled) bool { return a.probation && a.ejections == len(p.outs) }

// taken reports whether a request has the place on the present probation.
func (p *past) taken() bool {
	return slices.ContainsFunc(p.attempts, func(a *recalled) bool { return p.own(a) && !a.reported })
}

// stale reports whether the attempt's outcome tells nothing of the upstream as it
// is now.
func (p *past) stale(a *recalled, now int64) bool {
	switch p.phase(now) {
	case Serving:
		return a.began < p.latest().back
	case Probation:
		return !p.own(a)
	}
	return true
}

// observe takes in what an attempt that is not stale has told, and returns the
// rule that is broken, if one is.
func (p *past) observe(status int, open bool, now int64) string {
	if p.phase(now) == Probation {
		because := p.firstFailure(status)
		if because == "" && status != 0 {
			p.latest().back, p.latest().told = now, len(p.told)
		}
		return because
	}
	p.told = append(p.told, told{at: now, status: status, open: open})
	s, because := p.streaks(), ""
	switch r := p.rules; {
	case r.Local > 0 && s.local.all >= r.Local:
		because = ByLocal
	case r.Gateway > 0 && s.gateway.all >= r.Gateway:
		because = ByGateway
	case r.Failures > 0 && s.failures.all >= r.Failures:
		because = ByFailures
	}
	p.told[len(p.told)-1].anew = because != ""
	return because
}

// streaks counts the failures in a row. Those without an answer are proven.
func (p *past) streaks() streaks {
	local := p.inARow(func(r told) (bool, bool) {
		return r.status == 0, r.status > 0 && !r.open || r.status == complete
	})
	return streaks{
		failures: streak{all: p.inARow(func(r told) (bool, bool) { return p.failures[r.status], r.status > 0 })},
		gateway:  streak{all: p.inARow(func(r told) (bool, bool) { return gateway(r.status), r.status > 0 })},
		local:    streak{local, local},
	}
}

// rescued reports whether a good answer ends an ejection: one that began when the
// upstream was out because nobody reached it.
func (p *past) rescued(a *recalled, status int, now int64) bool {
	e := p.latest()
	if p.phase(now) != Ejected || e.because != ByLocal || a.began < e.since || status == 0 || p.failures[status] || gateway(status) {
		return false
	}
	e.back, e.told = now, len(p.told)
	return true
}

// inARow counts, from the end, what counts before what ends the row; some of
// what was told does neither.
func (p *past) inARow(counts func(told) (counts, ends bool)) (n int) {
	for i := len(p.told) - 1; i >= p.latest().told; i-- {
		r := p.told[i]
		if r.anew {
			break
		}
		if counted, ends := counts(r); counted {
			n++
		} else if ends {
			break
		}
	}
	return n
}

func gateway(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// firstFailure returns the rule by which a failure on probation ejects again:
// one that is on, and that the failure is of.
func (p *past) firstFailure(status int) string {
	shares := p.rules.Deviations > 0 || p.rules.Percentage > 0
	switch {
	case status == 0 && (p.rules.Local > 0 || shares):
		return ByLocal
	case gateway(status) && p.rules.Gateway > 0:
		return ByGateway
	case p.failures[status] && (p.rules.Failures > 0 || shares):
		return ByFailures
	}
	return ""
}

// eject ejects the upstream. The ejections in a row are those before it, but for
// one for each whole interval that it has served in between.
func (p *past) eject(now int64, because string, jitter time.Duration) (times int, lasts time.Duration) {
	if p.phase(now) == Ejected {
		return 0, 0
	}
	before := p.latest()
	times = before.times
	if before.back != 0 {
		times = max(0, times-int((now-before.back)/int64(p.rules.Interval)))
	}
	times++
	lasts = min(time.Duration(times)*p.rules.Base, max(p.rules.Max, p.rules.Base)) + jitter
	p.outs = append(p.outs, out{
		since: now, until: now + int64(lasts), times: times, because: because, limited: because != ByLocal,
	})
	return times, lasts
}

// released reports whether a check's pass ends the ejection, where the check had
// failed at the given instant.
func (p *past) released(now, failed int64) bool {
	e := p.latest()
	if p.phase(now) != Ejected || failed < e.since {
		return false
	}
	e.until = now
	return true
}

// counted counts what was told in an interval.
func (p *past) counted(interval int64) (total, failures int) {
	for _, r := range p.told {
		if r.status == complete || r.at/int64(p.rules.Interval) != interval {
			continue
		}
		total++
		if r.status == 0 || p.failures[r.status] {
			failures++
		}
	}
	return total, failures
}
