package outlier

// Seek says that a pool connects to the upstream until that succeeds (1), or does so no
// more (-1). Meanwhile an ejection for want of a connection does not end by itself.
func (h *Host) Seek(more int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seeking += more
}

// Missed notes that a connection that a pool has opened to see whether the upstream is
// back has failed. While the upstream is serving, this counts like an attempt that could
// not connect: a pool with few requests learns of the loss as soon as one with many.
func (h *Host) Missed(now int64) (f Finding) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.tidy()
	if h.at(now) != Serving || h.failing && h.lost {
		return f
	}
	if h.failed == 0 {
		h.failed = now
	}
	f.Lost = true
	h.misses++
	h.streaks.add(Report{Outcome: Unanswered, Fault: Upstream})
	return h.broken(f)
}

// Reached notes that a connection to the upstream has succeeded. An ejection for want of
// one, or for one that was closed, ends, and the probation follows; the last upstream is
// tried again. It reports whether either is so.
func (h *Host) Reached(now int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.tidy()
	switch at := h.at(now); {
	case !h.lost && !h.closed:
		h.streaks.local.forgive(h.misses)
		h.misses = 0
		return false
	case at == Ejected:
		h.test()
	case h.failing:
		h.failing, h.streaks, h.misses = false, streaks{}, 0
	default:
		return false
	}
	h.accepted++
	return true
}
