package orders

import (
	"context"
	"errors"
	"fmt"
	"time"
)

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
	for i, l := range s.of.loadAll(ctx, u.storage, keys) {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		k, o, err := keys[i], l.order, l.err
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
