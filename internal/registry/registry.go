// Package registry holds values that several users share by key.
package registry

import "sync"

// Registry keeps one value per key for as long as somebody uses it. The zero
// value is ready for use.
type Registry[K comparable, V any] struct {
	mu      sync.Mutex // guards what follows
	entries map[K]*entry[V]
}

type entry[V any] struct {
	value *V
	users int
}

// Acquire returns the value of the key, made by create if there is none.
// The caller releases the key when it is done.
func (r *Registry[K, V]) Acquire(key K, create func() *V) *V {
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
	e.users++
	return e.value
}

// Release undoes one Acquire of the key.
func (r *Registry[K, V]) Release(key K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[key]
	if e == nil {
		return
	}
	if e.users--; e.users > 0 {
		return
	}
	delete(r.entries, key)
}

// Len returns how many values are in use.
func (r *Registry[K, V]) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.entries)
}
