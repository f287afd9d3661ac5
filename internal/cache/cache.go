// Package cache keeps values under keys that clients may invent.
package cache

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Cache is bounded in number and in size. It resists scans: the first to be
// evicted are entries used within one tick only, then the least recently used.
// So keys that are asked for once do not evict those asked for again and again.
// Reading takes no lock. The zero value is empty.
type Cache[K comparable, V any] struct {
	entries sync.Map // K → *Entry[V]

	mu          sync.Mutex // guards changes of entries, and:
	count, size int
}

// Entry is a value in a cache.
type Entry[V any] struct {
	Value V

	size   int
	put    int64        // instant
	latest atomic.Int64 // instant of the latest use, exact to a Tick
}

// Tick is the precision of the times of use.
const Tick = time.Second

// NewEntry returns an entry of the given size, to be put into a cache.
func NewEntry[V any](value V, size int, now int64) *Entry[V] {
	e := &Entry[V]{Value: value, size: size, put: now}
	e.latest.Store(now)
	return e
}

// Use notes a use of the entry. It reports whether this is the first one within a
// tick.
func (e *Entry[V]) Use(now int64) (first bool) {
	latest := e.latest.Load()
	return now-latest > int64(Tick) && e.latest.CompareAndSwap(latest, now)
}

// UsedSince reports whether the entry was used at the instant or later, exact to a
// tick.
func (e *Entry[V]) UsedSince(at int64) bool { return e.latest.Load() >= at }

// usedOnce reports whether the entry was used only within a tick of its put.
func (e *Entry[V]) usedOnce() bool { return e.latest.Load()-e.put <= int64(Tick) }

// Get returns the entry of the key; nil if there is none. It is no use of it.
func (c *Cache[K, V]) Get(key K) *Entry[V] {
	entry, ok := c.entries.Load(key)
	if !ok {
		return nil
	}
	return entry.(*Entry[V])
}

// Put puts the entry under the key, in place of the one there. If the cache would
// then hold more than maxCount entries or maxSize in total, it shrinks to nine
// tenths of these. Put returns the values that were replaced or evicted.
func (c *Cache[K, V]) Put(key K, next *Entry[V], maxCount, maxSize int) (gone []V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := next.size
	if old := c.Get(key); old != nil {
		gone = append(gone, old.Value)
		next.put = old.put
		c.count--
		c.size -= old.size
	}
	if c.count >= maxCount || c.size+size > maxSize {
		gone = append(gone, c.shrink(maxCount*9/10, maxSize*9/10-size, key)...)
	}
	c.entries.Store(key, next)
	c.count++
	c.size += size
	return gone
}

// shrink evicts entries until count and size are within the given bounds. It
// leaves out the one under the spared key, which the caller has already taken
// off the counts. The mutex is held.
func (c *Cache[K, V]) shrink(count, size int, spared K) (gone []V) {
	type candidate struct {
		key    K
		entry  *Entry[V]
		once   bool
		latest int64
	}
	var all []candidate
	c.entries.Range(func(key, value any) bool {
		if e := value.(*Entry[V]); key.(K) != spared {
			all = append(all, candidate{key.(K), e, e.usedOnce(), e.latest.Load()})
		}
		return true
	})
	slices.SortFunc(all, func(a, b candidate) int {
		switch {
		case a.once != b.once && a.once, a.once == b.once && a.latest < b.latest:
			return -1
		case a.once == b.once && a.latest == b.latest:
			return 0
		}
		return 1
	})
	for _, victim := range all {
		if c.count <= count && c.size <= size {
			break
		}
		c.remove(victim.key, victim.entry)
		gone = append(gone, victim.entry.Value)
	}
	return gone
}

// Expire removes the entries not used since the given instant, and returns their
// values.
func (c *Cache[K, V]) Expire(since int64) (gone []V) {
	return c.drop(func(e *Entry[V]) bool { return !e.UsedSince(since) })
}

// Drop removes the entries of the values that are not wanted, and returns these.
func (c *Cache[K, V]) Drop(unwanted func(V) bool) (gone []V) {
	return c.drop(func(e *Entry[V]) bool { return unwanted(e.Value) })
}

func (c *Cache[K, V]) drop(unwanted func(*Entry[V]) bool) (gone []V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries.Range(func(key, value any) bool {
		if e := value.(*Entry[V]); unwanted(e) {
			c.remove(key.(K), e)
			gone = append(gone, e.Value)
		}
		return true
	})
	return gone
}

// remove removes the entry. The mutex is held.
func (c *Cache[K, V]) remove(key K, e *Entry[V]) {
	c.entries.Delete(key)
	c.count--
	c.size -= e.size
}

// Each calls f for each value until f returns false.
func (c *Cache[K, V]) Each(f func(V) bool) {
	c.entries.Range(func(_, entry any) bool { return f(entry.(*Entry[V]).Value) })
}

// Len returns the number of entries and the sum of their sizes.
func (c *Cache[K, V]) Len() (count, size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count, c.size
}
