package outlier

// Finding is what follows from a report.
type Finding struct {
	Rule    string // rule for which the upstream is to be ejected; empty for none
	Limited bool   // max_ejection_percent holds for the ejection
	Lost    bool   // there was no connection: see [Report]
	Closed  bool   // the connection was closed before any answer
	Back    bool   // the upstream has come back from an ejection
	Steady  bool   // the last upstream no longer fails every attempt
}

// Observe takes in the report of an attempt.
func (h *Host) Observe(r Report, now int64) (f Finding) {
	f.Lost, f.Closed = r.Lost, r.Closed
	if r.Good() && !h.rules.ByRate() && h.clean.Load() {
		return f
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.tidy()
	at := h.at(now)
	probing := h.leave(r.Round)
	switch {
	case at == Ejected:
		// Requests come here only if no other upstream is left. If it was ejected since
		// it could not be reached, an answer shows that it is back.
		if h.rule != ByLocal || r.Began < h.since || !r.Good() {
			return f
		}
		h.serve(now)
		f.Back = true
		return f
	case at == Probation && (!probing || r.Fault == Request), r.Began < h.returned:
		return f // the attempt began before, or it is the request's fault
	case at == Probation:
		// No answer is no success, even where no rule counts it as a failure.
		if f.Rule, f.Limited = h.rules.brokenOnProbation(r); f.Rule == "" && r.Outcome != Unanswered {
			h.serve(now)
			f.Back = true
		}
		return f
	}
	if r.Good() {
		h.failed, h.accepted = 0, 0
		f.Steady, h.failing = h.failing, false
	} else if h.failed == 0 {
		h.failed = now
	}
	if r.Fault == Request && now-h.failed < int64(h.rules.Interval) {
		return f // unless the upstream has answered no other request either
	}
	if h.rules.ByRate() {
		h.count(r, now)
	}
	h.streaks.add(r)
	if h.streaks.local.all == 0 {
		h.misses = 0
	}
	return h.broken(f)
}

// serve ends an ejection or a probation for good. mu is held.
func (h *Host) serve(now int64) {
	h.phase, h.returned, h.streaks, h.misses, h.failed, h.failing, h.accepted = Serving, now, streaks{}, 0, 0, false, 0
}

// count counts the attempts in one interval.
type count struct {
	interval      int64 // its number
	total, failed int
}

// count counts the report in the interval of the instant. mu is held.
func (h *Host) count(r Report, now int64) {
	interval := now / int64(h.rules.Interval)
	c := &h.counts[interval&1]
	if c.interval != interval {
		*c = count{interval: interval}
	}
	c.total++
	if r.Counts || r.Outcome == Unanswered {
		c.failed++
	}
}

// counted returns the counts of the interval with the number.
func (h *Host) counted(interval int64) (total, failed int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.counts[interval&1]
	if c.interval != interval {
		return 0, 0
	}
	return c.total, c.failed
}
