package orders

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
)

// Orders lie under one key each, which is written and removed as a whole: nothing is
// locked, and of two that write at once the last one wins.
const (
	prefix    = "load_balancer/orders"
	formatKey = "load_balancer/format" // written before the first order; without it, an empty storage is not trusted
	version   = 1

	maxStored = 10_000 // orders that are read
	maxBytes  = 8 << 10

	// Orders of other instances are obeyed after this time and the reading. The contract
	// is 5 s.
	readEvery = 2 * time.Second

	patience = 5 * time.Second // with the storage, for one order
	priming  = 2 * time.Second // with the storage, before the first configuration serves
)

// stored is an order as the storage has it.
type stored struct {
	Version int    `json:"version"`
	Order   *Order `json:"order"`
}

// Store keeps a book and a storage alike.
type Store struct {
	book    book
	writing chan struct{} // has an element while an order is given or ended

	mu      sync.Mutex         // guards all below
	uses    []*Use             // of the configurations that have started; the last one's storage counts
	reads   int                // of the storage, that have begun
	written map[key]int        // the reading that was the latest when an order was given or ended here
	stop    context.CancelFunc // ends the reading; nil where no configuration has started
	done    chan struct{}      // closed at its end

	reading  sync.Mutex        // held while the storage is read; guards problems
	problems map[string]string // by storage key; the key "" is the storage itself
}

// Default is the store of the process.
var Default = NewStore()

// NewStore returns a store without orders.
func NewStore() *Store {
	return &Store{writing: make(chan struct{}, 1), written: make(map[key]int), problems: make(map[string]string)}
}

// Use is a configuration's use of a storage.
type Use struct{ storage certmagic.Storage }

// Prime reads the storage, if no configuration has started yet, so that the first one
// serves as was ordered before. It waits for a slow storage for two seconds at most.
func (s *Store) Prime(storage certmagic.Storage) {
	s.mu.Lock()
	started := len(s.uses) > 0
	s.mu.Unlock()
	if started || storage == nil {
		return
	}
	s.within(priming, storage)
}

// Attach has the store use the storage from now on, until [Store.Detach] is called.
func (s *Store) Attach(storage certmagic.Storage) *Use {
	u := &Use{storage}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uses = append(s.uses, u)
	if s.stop == nil {
		var ctx context.Context
		ctx, s.stop = context.WithCancel(context.Background())
		s.done = make(chan struct{})
		go s.readOn(ctx, s.done)
	}
	return u
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

// storage returns the storage in use; nil for none.
func (s *Store) storage() certmagic.Storage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.uses) == 0 {
		return nil
	}
	return s.uses[len(s.uses)-1].storage
}

// readOn reads the storage again and again.
func (s *Store) readOn(ctx context.Context, done chan struct{}) {
	defer close(done)
	ticker := time.NewTicker(readEvery)
	defer ticker.Stop()
	for {
		if storage := s.storage(); storage != nil {
			s.Read(ctx, storage)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// within reads the storage, for so long at most.
func (s *Store) within(d time.Duration, storage certmagic.Storage) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	done := make(chan struct{})
	go func() { // a storage may ignore the context
		defer close(done)
		s.Read(ctx, storage)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		logger().Warn("the storage is slow: requests are served before the orders of operators are read")
	}
	cancel()
}

// Read takes in the orders that the storage has. What cannot be read stays as it was
// known last. One warning is logged for each problem.
func (s *Store) Read(ctx context.Context, storage certmagic.Storage) {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.mu.Lock()
	s.reads++
	reading := s.reads
	s.mu.Unlock()
	found, unread, err := s.load(ctx, storage)
	if ctx.Err() != nil {
		return
	}
	s.problem("", err, "the storage cannot be read: the orders of operators go on as they were last known")
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book.change(func(orders map[key]*Order) {
		for k, o := range orders {
			if unread[storageKey(k)] {
				found[k] = o // it cannot be read now
			}
			if s.written[k] >= reading {
				found[k] = o // it was given while the storage was read
			}
		}
		for k := range found {
			if _, ok := orders[k]; !ok && s.written[k] >= reading {
				delete(found, k) // it was ended while the storage was read
			}
		}
		clear(orders)
		for k, o := range found {
			orders[k] = o
		}
	})
	for k, at := range s.written {
		if at < reading {
			delete(s.written, k)
		}
	}
}

// load returns the orders that the storage has, and the keys of those that it has but
// that cannot be read.
func (s *Store) load(ctx context.Context, storage certmagic.Storage) (found map[key]*Order, unread map[string]bool, err error) {
	keys, err := storage.List(ctx, prefix, false)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		keys = nil
	case err != nil:
		return nil, nil, err
	}
	if len(keys) == 0 && len(s.book.all()) > 0 {
		if _, err := storage.Load(ctx, formatKey); err != nil {
			return nil, nil, fmt.Errorf("it has lost what was in it: %w", err)
		}
	}
	found, unread = make(map[key]*Order), make(map[string]bool)
	if len(keys) > maxStored {
		keys = keys[:maxStored]
	}
	now := time.Now()
	seen := map[string]bool{"": true}
	for _, k := range keys {
		seen[k] = true
		o, err := loadOne(ctx, storage, k)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was ended meanwhile
		}
		s.problem(k, err, "an order in the storage cannot be read: it stays as it was last known")
		switch {
		case err != nil:
			unread[k] = true
		case o.ended(now.Add(-time.Hour)):
			_ = storage.Delete(ctx, k) // the next reading tries again
		default:
			found[o.key()] = o
		}
	}
	for k := range s.problems {
		if !seen[k] {
			delete(s.problems, k)
		}
	}
	return found, unread, nil
}

// loadOne returns the order under the storage key.
func loadOne(ctx context.Context, storage certmagic.Storage, at string) (*Order, error) {
	text, err := storage.Load(ctx, at)
	if err != nil {
		return nil, err
	}
	if len(text) > maxBytes {
		return nil, fmt.Errorf("%d bytes are more than %d", len(text), maxBytes)
	}
	var in stored
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, err
	}
	switch {
	case in.Version > version:
		return nil, fmt.Errorf("its format %d is newer than %d, the latest that this version of the plugin reads", in.Version, version)
	case in.Version < 1 || in.Order == nil:
		return nil, errors.New("it is no order")
	}
	if err := in.Order.Validate(); err != nil {
		return nil, err
	}
	if storageKey(in.Order.key()) != at {
		return nil, errors.New("it is an order of another upstream")
	}
	return in.Order, nil
}

// problem logs a problem that is new, and the end of one. s.reading is held.
func (s *Store) problem(at string, err error, message string) {
	before := s.problems[at]
	switch {
	case err == nil && before != "":
		delete(s.problems, at)
		logger().Info("the orders of operators can be read again", zap.String("key", at))
	case err != nil && before == "":
		s.problems[at] = err.Error()
		logger().Warn(message, zap.String("key", at), zap.Error(err))
	}
}

// storageKey returns the key in the storage.
func storageKey(k key) string {
	h := sha256.Sum256([]byte(k.pool + "\n" + k.address))
	return prefix + "/" + hex.EncodeToString(h[:16]) + ".json"
}

func logger() *zap.Logger { return caddy.Log().Named("load_balancer.orders") }
