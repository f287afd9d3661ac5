package orders

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
)

// fake is a storage in memory that a test can break.
type fake struct {
	certmagic.Storage // nil: what the store does not use

	mu     sync.Mutex
	values map[string][]byte
	takes  time.Duration // of each operation
	hangs  chan struct{} // operations wait until it is closed, whatever their context; nil: they do not
	fails  error         // of each operation
	full   error         // of Store and Delete
	loads  int
	during func(op, key string) // called before an operation
}

func newFake() *fake { return &fake{values: make(map[string][]byte)} }

func (f *fake) op(ctx context.Context, op, key string, writes bool) error {
	f.mu.Lock()
	takes, hangs, fails, during := f.takes, f.hangs, f.fails, f.during
	if writes && fails == nil {
		fails = f.full
	}
	f.mu.Unlock()
	if during != nil {
		during(op, key)
	}
	if hangs != nil {
		<-hangs
	}
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fails
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) Exists(ctx context.Context, key string) bool {
	_, err := f.Load(ctx, key)
	return err == nil
}

func (f *fake) Store(ctx context.Context, key string, value []byte) error {
	if err := f.op(ctx, "store", key, true); err != nil {
		return err
	}
	f.set(func() { f.values[key] = value })
	return nil
}

func (f *fake) Load(ctx context.Context, key string) ([]byte, error) {
	if err := f.op(ctx, "load", key, false); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loads++
	if value, ok := f.values[key]; ok {
		return value, nil
	}
	return nil, fs.ErrNotExist
}

func (f *fake) Delete(ctx context.Context, key string) error {
	if err := f.op(ctx, "delete", key, true); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.values[key]; !ok {
		return fs.ErrNotExist // as some storages answer
	}
	delete(f.values, key)
	return nil
}

func (f *fake) List(ctx context.Context, prefix string, _ bool) (keys []string, err error) {
	if err := f.op(ctx, "list", prefix, false); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range maps.Keys(f.values) {
		if strings.HasPrefix(key, prefix+"/") {
			keys = append(keys, key)
		}
	}
	if keys == nil {
		return nil, fs.ErrNotExist
	}
	return keys, nil
}

// started returns a store that uses the storage until the test ends.
func started(t *testing.T, storage certmagic.Storage) *Store {
	s := NewStore()
	s.Prime(storage)
	u := s.Attach(storage)
	t.Cleanup(func() { s.Detach(u, time.Now().Add(time.Minute)) })
	return s
}

// give gives an order.
func give(t *testing.T, s *Store, pool, address string, edit func(*Order)) {
	t.Helper()
	if err := try(s, pool, address, "", edit); err != nil {
		t.Fatal(err)
	}
}

func try(s *Store, pool, address, tag string, edit func(*Order)) error {
	_, err := s.Change(context.Background(), pool, address, tag, func(o *Order) error { edit(o); return nil })
	return err
}

func drain(o *Order)  { o.State = Drain }
func none(o *Order)   { *o = Order{Pool: o.Pool, Address: o.Address} }
func maint(o *Order)  { o.State = Maintenance }
func paused(o *Order) { o.State = Paused }

func weight(n int) func(*Order) { return func(o *Order) { o.Weight = &n } }

func until(d time.Duration) func(*Order) {
	return func(o *Order) {
		ends := time.Now().Add(d)
		o.State, o.Ends = Drain, &ends
	}
}

// states returns the addresses and states of the orders in force.
func states(s *Store) string {
	var all []string
	for _, o := range s.List() {
		all = append(all, strings.TrimPrefix(o.Pool+"/", "/")+o.Address+" "+o.String())
	}
	return strings.Join(all, ", ")
}

func expect(t *testing.T, s *Store, want string) {
	t.Helper()
	if got := states(s); got != want {
		t.Errorf("orders in force: %q, want %q", got, want)
	}
}

// later lets the time pass in which each store has read its storage.
func later() {
	time.Sleep(5 * time.Second)
	synctest.Wait()
}

var errBroken = errors.New("broken")
