package orders

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
)

const (
	// Orders of other instances are obeyed after this time and the reading. The contract
	// is 5 s.
	readEvery = 2 * time.Second

	patience = 5 * time.Second  // with the storage, for one order, and before a warning that it is slow
	priming  = 2 * time.Second  // with the storage, before the first configuration serves
	giveUp   = 30 * time.Second // of a reading, where the storage heeds its context
)

var errSlow = errors.New("it is slow, or does not answer")

// Store keeps a book and a storage alike. A storage may be slow, or never answer: one
// reading and one writing at most are under way in each, and nothing waits for either
// while it holds a mutex.
type Store struct {
	of       *kind
	book     book
	problems problems
	changing chan struct{} // has an element while an order is given or ended

	mu      sync.Mutex         // guards all below
	uses    []*Use             // of the configurations that have started; the last one's storage counts
	reads   int                // of storages, that have begun
	written map[key]int        // the reading that was the latest when an order was given or ended here
	stop    context.CancelFunc // ends the reading; nil where no configuration has started
	done    chan struct{}      // closed at its end
	wake    chan struct{}      // has an element if the storage is to be read at once
}

// Default is the process's store of orders for upstreams and pools.
var Default = NewStore()

// NewStore returns a store without orders, for those of upstreams and pools.
func NewStore() *Store { return newStore(given) }

// NewStoreOf returns a store without orders, for those of another kind, which lie under
// its name in the storage. Valid says what is wrong with one.
func NewStoreOf(name string, valid func(*Order) error) *Store {
	prefix := "load_balancer/" + name
	return newStore(newKind(prefix, prefix+".format", valid))
}

func newStore(of *kind) *Store {
	return &Store{
		of:       of,
		changing: make(chan struct{}, 1), written: make(map[key]int),
		problems: problems{of: of, known: make(map[string]string)},
	}
}

// Use is a configuration's use of a storage.
type Use struct {
	of      *kind
	storage certmagic.Storage
	writing chan struct{} // has an element while something is written
}

func (s *Store) newUse(storage certmagic.Storage) *Use {
	return &Use{s.of, storage, make(chan struct{}, 1)}
}

// Prime reads the storage, if no configuration has started yet, so that the first one
// serves as was ordered before. It waits for a slow storage for two seconds at most.
func (s *Store) Prime(storage certmagic.Storage) {
	if storage == nil || s.use() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), priming)
	defer cancel()
	select {
	case <-s.read(ctx, s.newUse(storage), true):
	case <-ctx.Done():
		s.problems.note("", errSlow, "the storage is slow: requests are served before the orders of operators are read")
	}
}

// Attach has the store use the storage from now on, until [Store.Detach] is called.
func (s *Store) Attach(storage certmagic.Storage) *Use {
	u := s.newUse(storage)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uses = append(s.uses, u)
	if s.stop == nil {
		var ctx context.Context
		ctx, s.stop = context.WithCancel(context.Background())
		s.done, s.wake = make(chan struct{}), make(chan struct{}, 1)
		go s.readOn(ctx, s.done, s.wake)
	}
	s.readSoon()
	return u
}

// readSoon has the storage read at once, unless that is under way. s.mu is held.
func (s *Store) readSoon() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Detach ends a use, and waits for a reading that is under way, until the given time at
// most.
func (s *Store) Detach(u *Use, until time.Time) {
	s.mu.Lock()
	for i := range s.uses {
		if s.uses[i] == u {
			s.uses = append(s.uses[:i], s.uses[i+1:]...)
			break
		}
	}
	if len(s.uses) > 0 || s.stop == nil {
		if s.stop != nil {
			s.readSoon()
		}
		s.mu.Unlock()
		return
	}
	stop, done := s.stop, s.done
	s.stop = nil
	s.mu.Unlock()
	stop()
	timeout := time.NewTimer(time.Until(until))
	defer timeout.Stop()
	select {
	case <-done:
	case <-timeout.C:
	}
}

// use returns the use that counts; nil for none.
func (s *Store) use() *Use {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.uses) == 0 {
		return nil
	}
	return s.uses[len(s.uses)-1]
}

// readOn reads the storage again and again. It waits for a reading to end before it
// begins the next, unless another storage is in use meanwhile.
func (s *Store) readOn(ctx context.Context, done, wake chan struct{}) {
	defer close(done)
	var reading *Use // under way; nil for none
	var read <-chan struct{}
	due, slow := time.NewTimer(0), time.NewTimer(patience)
	slow.Stop()
	defer due.Stop()
	defer slow.Stop()
	for {
		select {
		case <-ctx.Done():
			if reading != nil {
				<-read
			}
			return
		case <-read:
			reading, read = nil, nil
			slow.Stop()
			due.Reset(readEvery)
			continue
		case <-slow.C:
			s.problems.note("", errSlow, unreadable)
			continue
		case <-due.C:
		case <-wake:
		}
		if u := s.use(); u != nil && u != reading {
			reading, read = u, s.read(ctx, u, false)
			slow.Reset(patience)
		}
	}
}
