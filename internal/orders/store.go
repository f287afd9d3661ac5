package orders

import (
	"context"
	"errors"
	"fmt"
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
	wake     chan struct{} // has an element if the storage is to be read at once

	mu      sync.Mutex         // guards all below
	uses    []*Use             // of the configurations that have started; the last one's storage counts
	reads   int                // of storages, that have begun
	written map[key]int        // the reading that was the latest when an order was given or ended here
	stop    context.CancelFunc // ends the reading; nil where no configuration has started
	done    chan struct{}      // closed at its end
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
		changing: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		written: make(map[key]int), problems: problems{of: of, known: make(map[string]string)},
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
		s.done = make(chan struct{})
		go s.readOn(ctx, s.done)
	}
	s.readSoon()
	return u
}

// readSoon has the storage read at once, or once more after the reading under way.
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
		s.mu.Unlock()
		s.readSoon()
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
func (s *Store) readOn(ctx context.Context, done chan struct{}) {
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
		case <-s.wake:
		}
		if u := s.use(); u != nil && u != reading {
			reading, read = u, s.read(ctx, u, false)
			slow.Reset(patience)
		}
	}
}

// read takes in the orders that the storage has, in the background, and closes the
// channel then. What cannot be read stays as it was known last. Fresh is whether no
// configuration has started: then what is known is no better than what the storage has.
func (s *Store) read(ctx context.Context, u *Use, fresh bool) <-chan struct{} {
	s.mu.Lock()
	s.reads++
	number := s.reads
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(ctx, giveUp)
		defer cancel()
		found, unread, err := s.load(ctx, u, fresh)
		if err != nil && errors.Is(ctx.Err(), context.Canceled) {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if current := len(s.uses) == 0; fresh != current || !current && s.uses[len(s.uses)-1] != u {
			return // the storage is no longer in use
		}
		s.problems.note("", err, unreadable)
		if err == nil {
			s.take(found, unread, number)
		}
	}()
	return done
}

// take makes the orders found by the reading of the number those in force. Unread are the
// keys of orders that are there, but cannot be read. s.mu is held.
func (s *Store) take(found map[key]*Order, unread map[string]bool, number int) {
	s.book.change(func(orders map[key]*Order) {
		for k, o := range orders {
			if s.written[k] >= number || unread[s.of.storageKey(k)] {
				found[k] = o // it was given while the storage was read, or cannot be read now
			}
		}
		for k := range found {
			if _, ok := orders[k]; !ok && s.written[k] >= number {
				delete(found, k) // it was ended while the storage was read
			}
		}
		clear(orders)
		for k, o := range found {
			orders[k] = o
		}
	})
	for k, at := range s.written {
		if at < number {
			delete(s.written, k)
		}
	}
}

// load returns the orders that the storage has, and the keys of those that it has but
// that cannot be read.
func (s *Store) load(ctx context.Context, u *Use, fresh bool) (found map[key]*Order, unread map[string]bool, err error) {
	keys, err := s.of.listKeys(ctx, u.storage)
	if err != nil {
		return nil, nil, err
	}
	found, unread = make(map[key]*Order), make(map[string]bool)
	there := make(map[string]bool, len(keys))
	for _, k := range keys {
		there[k] = true
	}
	if missing := s.missing(there); !fresh && len(missing) > 0 {
		if err := s.restore(ctx, u, missing, found); err != nil {
			return nil, nil, err
		}
	}
	now := time.Now()
	for _, k := range keys {
		o, err := s.of.loadOne(ctx, u.storage, k)
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if isMissing(err) {
			delete(there, k)
			continue // it was ended meanwhile
		}
		s.problems.note(k, err, "an order in the storage cannot be read: it stays as it was last known; give it again, or delete it")
		switch {
		case err != nil:
			unread[k] = true
		case o.ended(now.Add(-time.Hour)):
			u.sweep(ctx, k, now)
		default:
			found[o.key()] = o
		}
	}
	s.problems.keep(there)
	return found, unread, nil
}

// missing returns the known orders that have not ended, and are not there.
func (s *Store) missing(there map[string]bool) (missing []*Order) {
	now := time.Now()
	for k, o := range s.book.all() {
		if !there[s.of.storageKey(k)] && !o.ended(now) {
			missing = append(missing, o)
		}
	}
	return missing
}

// restore writes the known orders that are missing, and adds them to those found, if the
// storage has lost what was in it. If it has not, they have been ended elsewhere.
func (s *Store) restore(ctx context.Context, u *Use, missing []*Order, found map[key]*Order) error {
	if ok, err := s.of.marked(ctx, u.storage); ok || err != nil {
		return err
	}
	if !u.begin(nil) {
		return errors.New("it has lost what was in it, and an order is being written to it")
	}
	defer u.end()
	if ok, err := s.of.marked(ctx, u.storage); ok || err != nil {
		return err // by a writer that was faster
	}
	if err := u.mark(ctx, missing); err != nil {
		return fmt.Errorf("it has lost what was in it, and does not take it again: %w", err)
	}
	logger().Warn("the storage had lost the orders of operators: they are written to it again, as they were last known")
	for _, o := range missing {
		found[o.key()] = o
	}
	return nil
}
