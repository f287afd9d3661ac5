package pool

import (
	"sync"
	"time"
)

// registry keeps what is known of something in the whole process, so that it
// outlives configurations.
type registry[K comparable, V any] struct {
	mu      sync.Mutex
	entries map[K]*entry[V]
	swept   int64
}

type entry[V any] struct {
	value    *V
	refs     int
	released int64 // latest
}

// keep is how long something is kept that nobody uses: between a reload and its
// first request, nobody uses what a dynamic source returns.
const keep = int64(5 * time.Minute)

// acquire returns what is known under the key, made by create if nothing is.
func (r *registry[K, V]) acquire(key K, now int64, create func() *V) *V {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep(now)
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

// used reports whether somebody uses what is known under the key.
func (r *registry[K, V]) used(key K) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.entries[key]
	return e != nil && e.refs > 0
}

func (r *registry[K, V]) release(key K, now int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep(now)
	if e := r.entries[key]; e != nil && e.refs > 0 {
		e.refs--
		e.released = now
	}
}

// sweep drops what has not been in use for long enough.
func (r *registry[K, V]) sweep(now int64) {
	if now-r.swept < keep {
		return
	}
	r.swept = now
	for key, e := range r.entries {
		if e.refs == 0 && now-e.released >= keep {
			delete(r.entries, key)
		}
	}
}
