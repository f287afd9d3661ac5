package orders

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// book is the orders in force in this process.
type book struct {
	orders atomic.Pointer[map[key]*Order] // a map that does not change; its orders do not either

	mu          sync.Mutex // guards changes of orders, and all below
	subscribers map[*Subscription]struct{}
	timer       *time.Timer // at the end of the order that ends first; nil for none
}

// Subscription is a function that is called after each change of the orders in force.
type Subscription struct {
	changed func()
	of      *book
}

// subscribe has the function called after each change, from any goroutine. It must not
// block.
func (b *book) subscribe(changed func()) *Subscription {
	s := &Subscription{changed, b}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subscribers == nil {
		b.subscribers = make(map[*Subscription]struct{})
	}
	b.subscribers[s] = struct{}{}
	return s
}

// End ends the subscription. A nil Subscription has ended.
func (s *Subscription) End() {
	if s == nil {
		return
	}
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	delete(s.of.subscribers, s)
}

// all returns the orders; the map must not be changed.
func (b *book) all() map[key]*Order {
	if m := b.orders.Load(); m != nil {
		return *m
	}
	return nil
}

// get returns the order of the key that is in force; nil for none.
func (b *book) get(k key, now time.Time) *Order {
	if o := b.all()[k]; o != nil && !o.ended(now) {
		return o
	}
	return nil
}

// of returns what is ordered of the upstream in the pool. An order for the pool goes
// before one for all pools.
func (b *book) of(pool, address string, now time.Time) (e Effect) {
	if len(b.all()) == 0 || address == "" {
		return e
	}
	for _, k := range []key{{pool, address}, {"", address}} {
		o := b.get(k, now)
		if o == nil {
			continue
		}
		if e.StateBy == nil && o.State != "" {
			e.StateBy = o
			if o.State != Ready {
				e.State = o.State
			}
		}
		if e.WeightBy == nil && o.Weight != nil {
			e.WeightBy, e.Weight = o, o.Weight
		}
	}
	return e
}

// list returns the orders in force, sorted by address and pool.
func (b *book) list(now time.Time) (list []*Order) {
	return b.where(now, func(*Order) bool { return true })
}

// about returns the orders in force for the address in any pool, or for the pool where
// the address is empty, sorted by pool.
func (b *book) about(pool, address string, now time.Time) []*Order {
	return b.where(now, func(o *Order) bool { return o.Address == address && (address != "" || o.Pool == pool) })
}

func (b *book) where(now time.Time, fits func(*Order) bool) (list []*Order) {
	for _, o := range b.all() {
		if fits(o) && !o.ended(now) {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b *Order) int {
		return cmp.Or(strings.Compare(a.Address, b.Address), strings.Compare(a.Pool, b.Pool))
	})
	return list
}

// change changes a copy of the orders, and tells the subscribers if anything differs.
func (b *book) change(edit func(map[key]*Order)) {
	b.mu.Lock()
	next := maps.Clone(b.all())
	if next == nil {
		next = make(map[key]*Order)
	}
	edit(next)
	for k, o := range next {
		if before := b.all()[k]; before != o && o.equal(before) {
			next[k] = before // who compares pointers sees what has changed
		}
	}
	same := maps.Equal(b.all(), next)
	if !same {
		b.orders.Store(&next)
		b.arm()
	}
	b.mu.Unlock()
	if !same {
		b.tell()
	}
}

// tell calls the subscribers.
func (b *book) tell() {
	b.mu.Lock()
	all := slices.Collect(maps.Keys(b.subscribers))
	b.mu.Unlock()
	for _, s := range all {
		s.changed()
	}
}

// arm sets the timer to the end of the order that ends first. mu is held.
func (b *book) arm() {
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	var first *time.Time
	now := time.Now()
	for _, o := range b.all() {
		if o.Ends != nil && !o.ended(now) && (first == nil || o.Ends.Before(*first)) {
			first = o.Ends
		}
	}
	if first != nil {
		b.timer = time.AfterFunc(time.Until(*first), func() {
			b.mu.Lock()
			b.arm()
			b.mu.Unlock()
			b.tell()
		})
	}
}

// tag returns what differs where different orders are in force for the address in any
// pool, or for the pool where the address is empty.
func (b *book) tag(pool, address string, now time.Time) string {
	h := sha256.New()
	for _, o := range b.about(pool, address, now) {
		text, _ := json.Marshal(o) // texts, a number and times within range: no error
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
