package pool

import "sync"

// registry keeps what is known of something in the whole process for as long as
// somebody uses it.
type registry[K comparable, V any] struct {
	mu      sync.Mutex
	entries map[K]*entry[V]
	drop    func(K, *V) // called for what nobody uses any more; nil for nothing to do
}

type entry[V any] struct {
	value *V
	refs  int
}

// acquire returns what is known under the key, made by create if nothing is.
func (r *registry[K, V]) acquire(key K, create func() *V) *V {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[key]
	if e == nil {
		if r.entries == nil {
			r.entries = make(map[K]*entry[V])
		}
		e = &entry[V]{value: create()}
		r.entries[key] = e
	}
	e.refs++
	return e.value
}

// release gives back what acquire has returned.
func (r *registry[K, V]) release(key K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[key]
	if e == nil {
		return
	}
	if e.refs--; e.refs > 0 {
		return
	}
	delete(r.entries, key)
	if r.drop != nil {
		r.drop(key, e.value)
	}
}
