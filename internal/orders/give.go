package orders

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrConflict is returned where the orders are not those that the caller has seen.
var ErrConflict = errors.New("the orders have changed meanwhile")

// Given is what a call changed.
type Given struct {
	Order  *Order // as it is now; nil where none is left
	Before *Order // nil where there was none
}

// Change changes the order of the upstream in the pool (or in all, where the pool is
// empty; or of the pool, where the address is empty) by the function, which gets a copy
// of the present one. With a tag, it must be that of the orders. The order is in the
// storage when Change returns without error; with an error, nothing has changed here.
func (s *Store) Change(ctx context.Context, pool, address, tag string, edit func(*Order) error) (g Given, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case s.writing <- struct{}{}:
	case <-ctx.Done():
		return g, errors.New("another order is being given, and the storage is slow: nothing has changed")
	}
	defer func() { <-s.writing }()
	now := time.Now()
	if tag != "" && tag != s.book.tag(pool, address, now) {
		return g, ErrConflict
	}
	k := key{pool, address}
	o := &Order{Pool: pool, Address: address}
	if g.Before = s.book.get(k, now); g.Before != nil {
		copied := *g.Before
		o = &copied
	}
	if err := edit(o); err != nil {
		return g, err
	}
	o.Given = now.UTC().Round(0)
	if err := o.Validate(); err != nil {
		return g, err
	}
	if o.ended(now) || o.Empty() {
		o = nil
	}
	if o == nil && g.Before == nil {
		return g, nil
	}
	if err := s.write(ctx, k, o); err != nil {
		return g, err
	}
	s.mu.Lock()
	s.written[k] = s.reads
	s.book.change(func(orders map[key]*Order) {
		if o == nil {
			delete(orders, k)
		} else {
			orders[k] = o
		}
	})
	s.mu.Unlock()
	g.Order = o
	return g, nil
}

// write writes the order to the storage, or removes it there where it is nil. It does not
// wait for longer than the context lasts, though the storage may.
func (s *Store) write(ctx context.Context, k key, o *Order) error {
	storage := s.storage()
	if storage == nil {
		return errors.New("no configuration with a load balancer runs: nothing has changed")
	}
	done := make(chan error, 1)
	go func() {
		if o == nil {
			done <- storage.Delete(ctx, storageKey(k))
			return
		}
		if !storage.Exists(ctx, formatKey) {
			if err := storage.Store(ctx, formatKey, []byte(fmt.Sprintf("{\"version\":%d}\n", version))); err != nil {
				done <- err
				return
			}
		}
		text, err := json.Marshal(stored{version, o})
		if err == nil {
			err = storage.Store(ctx, storageKey(k), text)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return &StorageError{err}
		}
		return nil
	case <-ctx.Done():
		return &StorageError{errors.New("it is slow, and may or may not have taken the order")}
	}
}

// StorageError is returned where the storage has not taken an order.
type StorageError struct{ Err error }

func (e *StorageError) Error() string {
	return fmt.Sprintf("the storage has not taken the order, so nothing has changed: %v", e.Err)
}

func (e *StorageError) Unwrap() error { return e.Err }

// Of returns what is ordered of the upstream at the dial address in the pool.
func (s *Store) Of(pool, address string) Effect { return s.book.of(pool, address, time.Now()) }

// OfPool returns the order of the pool; nil for none.
func (s *Store) OfPool(pool string) *Order { return s.book.get(key{pool: pool}, time.Now()) }

// List returns the orders in force, sorted by address and pool.
func (s *Store) List() []*Order { return s.book.list(time.Now()) }

// Tag returns what differs where other orders are in force for the address in any pool,
// or for the pool where the address is empty.
func (s *Store) Tag(pool, address string) string { return s.book.tag(pool, address, time.Now()) }

// Subscribe has the function called after each change of the orders in force, from any
// goroutine. It must not block.
func (s *Store) Subscribe(changed func()) *Subscription { return s.book.subscribe(changed) }
