package orders

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrConflict is returned where the orders are not those that the caller has seen.
var ErrConflict = errors.New("the orders have changed meanwhile")

// ErrUnknown is returned where there is no order that could be changed so.
var ErrUnknown = errors.New("there is no such order")

// StorageError is returned where the storage has not taken an order.
type StorageError struct{ Err error }

func (e *StorageError) Error() string { return "the storage has not taken the order: " + e.Err.Error() }

func (e *StorageError) Unwrap() error { return e.Err }

// Given is what a call changed.
type Given struct {
	Order  *Order // as it is now; nil where none is left
	Before *Order // nil where there was none
	Mended bool   // one that could not be read was replaced, or removed
}

// Change changes the order of the upstream in the pool (or in all, where the pool is
// empty; or of the pool, where the address is empty) by the function, which gets a copy
// of the present one. With a tag, it must be that of the orders. The order is in the
// storage when Change returns without error; with an error, nothing has changed here.
func (s *Store) Change(ctx context.Context, pool, address, tag string, edit func(*Order) error) (g Given, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case s.changing <- struct{}{}:
	case <-ctx.Done():
		return g, &StorageError{errors.New("another order is being given, and the storage is slow")}
	}
	defer func() { <-s.changing }()
	now, k := time.Now(), key{pool, address}
	if tag != "" && tag != s.book.tag(pool, address, now) {
		return g, ErrConflict
	}
	o := &Order{Pool: pool, Address: address}
	if g.Before = s.book.get(k, now); g.Before != nil {
		copied := *g.Before
		o = &copied
	}
	if err := edit(o); err != nil {
		return g, err
	}
	o.Given = now.UTC().Round(0)
	if err := s.of.valid(o); err != nil {
		return g, err
	}
	if o.ended(now) || o.Empty() {
		o = nil
	}
	bad := s.problems.has(s.of.storageKey(k))
	switch {
	case o == nil && g.Before == nil && !bad:
		return g, nil
	case o != nil && g.Before == nil && len(s.book.all()) >= maxStored:
		return g, &StorageError{fmt.Errorf("there are %d orders, and no more are kept; end some", maxStored)}
	}
	if err := s.write(ctx, k, o); err != nil {
		return g, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written[k] = s.reads
	s.book.change(func(orders map[key]*Order) {
		if o == nil {
			delete(orders, k)
		} else {
			orders[k] = o
		}
	})
	g.Order, g.Mended = o, bad
	return g, nil
}

// write writes the order to the storage, or removes it there where it is nil. It does not
// wait for longer than the context lasts, though the storage may: nothing else is written
// until that has answered.
func (s *Store) write(ctx context.Context, k key, o *Order) error {
	u := s.use()
	if u == nil {
		return &StorageError{errors.New("no configuration with a load balancer runs")}
	}
	if !u.begin(ctx.Done()) {
		return &StorageError{errors.New("it is slow: it has not answered to an earlier order yet")}
	}
	done := make(chan error, 1)
	go func() {
		defer u.end()
		done <- s.writeTo(ctx, u, k, o)
	}()
	select {
	case err := <-done:
		if err != nil {
			return &StorageError{err}
		}
		return nil
	case <-ctx.Done():
		return &StorageError{errors.New("it is slow; it may take the order yet, which is obeyed then")}
	}
}

func (s *Store) writeTo(ctx context.Context, u *Use, k key, o *Order) error {
	ok, err := s.of.marked(ctx, u.storage)
	if err != nil {
		return err
	}
	if !ok { // it is new, or has lost what was in it
		if err := u.mark(ctx, s.book.list(time.Now())); err != nil {
			return err
		}
	}
	return u.put(ctx, k, o)
}

// Of returns what is ordered of the upstream at the dial address in the pool.
func (s *Store) Of(pool, address string) Effect { return s.book.of(pool, address, time.Now()) }

// OfPool returns the order of the pool; nil for none.
func (s *Store) OfPool(pool string) *Order { return s.book.get(key{pool: pool}, time.Now()) }

// For returns the orders in force for the address, sorted by pool.
func (s *Store) For(address string) []*Order { return s.book.about("", address, time.Now()) }

// List returns the orders in force, sorted by address and pool.
func (s *Store) List() []*Order { return s.book.list(time.Now()) }

// Tag returns what differs where other orders are in force for the address in any pool,
// or for the pool where the address is empty.
func (s *Store) Tag(pool, address string) string { return s.book.tag(pool, address, time.Now()) }

// Subscribe has the function called after each change of the orders in force, from any
// goroutine. It must not block.
func (s *Store) Subscribe(changed func()) *Subscription { return s.book.subscribe(changed) }
