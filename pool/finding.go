package pool

// finding is what follows from a report.
type finding struct {
	because string // why the upstream should be ejected; empty if it should not
	limited bool   // a share is set for such ejections
	back    bool   // the upstream came back from an ejection
	steady  bool   // it no longer fails as the last upstream
}

// observe takes in a report.
func (o *outlier) observe(r report, now int64) (f finding) {
	if r.outcome == answered && !r.counts && !o.rules.byShare() && o.clean.Load() {
		return f
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.tidy()
	at := o.at(now)
	probing := o.probed(r.round)
	switch {
	case at == ejected:
		// Requests come here only for want of another upstream. Where it was out
		// because nobody reached it, an answer shows that it is back.
		if o.because != byLocal || r.began < o.since || r.outcome != answered || r.counts {
			return f
		}
		o.serve(now)
		f.back = true
		return f
	case at == probation && (!probing || r.alike), r.began < o.proven:
		return f // of an attempt from before, or by the request's fault
	case at == probation:
		// No answer is no success, though no rule may count it as a failure.
		if f.because, f.limited = o.rules.first(r); f.because == "" && r.outcome != unreachable {
			o.serve(now)
			f.back = true
		}
		return f
	}
	if o.failing && r.outcome == answered && !r.counts {
		o.failing, f.steady = false, true
	}
	if r.outcome == answered && !r.counts {
		o.silent = 0
	} else if o.silent == 0 {
		o.silent = now
	}
	if r.alike && now-o.silent < int64(o.rules.Interval) {
		return f // the request's fault, unless the upstream answers no other one either
	}
	if o.rules.byShare() {
		o.tally(r, now)
	}
	o.line(r)
	if f.because, f.limited = o.rules.broken(o.row); f.because != "" {
		o.row = row{} // if it may not be ejected, it counts anew
	}
	return f
}

// serve ends an ejection or a probation for good. The mutex is held.
func (o *outlier) serve(now int64) {
	o.phase, o.proven, o.row, o.silent, o.failing = serving, now, row{}, 0, false
}

// line takes a report into the counts of failures in a row. The mutex is held.
func (o *outlier) line(r report) {
	if r.outcome == unreachable {
		o.row.local.add(r.proven)
		return
	}
	if !r.open {
		o.row.local = streak{}
	}
	if r.counts {
		o.row.failures.add(r.proven)
	} else {
		o.row.failures = streak{}
	}
	if r.outcome == failedGateway {
		o.row.gateway.add(r.proven)
	} else {
		o.row.gateway = streak{}
	}
}

// tally takes a report into the counts of the interval.
func (o *outlier) tally(r report, now int64) {
	interval := now / int64(o.rules.Interval)
	c := &o.count[interval&1]
	if c.interval != interval {
		*c = count{interval: interval}
	}
	c.total++
	if r.counts || r.outcome == unreachable {
		c.failed++
	}
}

// tallied returns the counts of the given interval.
func (o *outlier) tallied(interval int64) (total, failed int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.count[interval&1]
	if c.interval != interval {
		return 0, 0
	}
	return c.total, c.failed
}
