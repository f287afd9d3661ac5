package healthcheck

import (
	"container/list"
	"sync/atomic"
	"time"
)

// subject is one check of one address: what all watches share that ask for it.
type subject struct {
	key       string // the check's
	kind      string // of checker
	name      subjectName
	slotClass int
	state     atomic.Pointer[State]

	// The monitor's mu guards what follows.
	watches     list.List // of *Watch: those not started, then the others in the order of their starts
	predecessor *subject  // whose state it started from; nil once the configuration has started
	phase       float64   // position in the interval, 0 to 1
	next        time.Time
	queue       *slotQueue      // where it is scheduled; nil while it is not
	index       int             // in queue.due
	probe       *probe          // under way; nil if none is
	warning     string          // of the latest probe
	hung        <-chan struct{} // closed when a checker ends that did not do so in time; nil if there is none
	keepUntil   time.Time       // how long the state is kept for dynamic sources whose watches have gone
}

// subjectKey tells subjects apart: by the check, with its options, and the address.
type subjectKey struct{ key, address string }

// subjectName is a check's name and an address, whatever the check's options.
type subjectName struct{ check, address string }

// runner returns the watch whose checker probes the subject, the latest started;
// nil if none has started.
func (s *subject) runner() *Watch {
	if last := s.watches.Back(); last != nil && last.Value.(*Watch).started {
		return last.Value.(*Watch)
	}
	return nil
}

// all returns the watches.
func (s *subject) all() []*Watch {
	watches := make([]*Watch, 0, s.watches.Len())
	for e := s.watches.Front(); e != nil; e = e.Next() {
		watches = append(watches, e.Value.(*Watch))
	}
	return watches
}

// usedBy reports whether a watch belongs to the given configuration.
func (s *subject) usedBy(c *configuration) bool {
	for e := s.watches.Front(); e != nil; e = e.Next() {
		if e.Value.(*Watch).check.group.configuration == c {
			return true
		}
	}
	return false
}
