package pool

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// shelf keeps things under keys that clients may invent, so it is bounded, in
// number and in size. What has to go first is what was used for one tick only,
// the least recently used first: so names that are invented once each do not push
// out those that are asked for again and again. Reading takes no lock.
type shelf[K comparable, V any] struct {
	items sync.Map // K → *shelved[V]

	mu          sync.Mutex // guards changes of the above, and:
	count, size int
}

// shelved is a thing on a shelf.
type shelved[V any] struct {
	value  V
	size   int
	put    int64        // instant
	latest atomic.Int64 // instant of the latest use, exact to a tick
}

// tick is what times of use are exact to.
const tick = time.Second

func newShelved[V any](value V, size int, now int64) *shelved[V] {
	s := &shelved[V]{value: value, size: size, put: now}
	s.latest.Store(now)
	return s
}

// use notes that the thing is used, and reports whether that is news: nobody has
// used it within the tick.
func (s *shelved[V]) use(now int64) bool {
	latest := s.latest.Load()
	return now-latest > int64(tick) && s.latest.CompareAndSwap(latest, now)
}

// once reports whether nobody has used the thing but when it was put there.
func (s *shelved[V]) once() bool { return s.latest.Load()-s.put <= int64(tick) }

// get returns what is under the key; nil if nothing is.
func (s *shelf[K, V]) get(key K) *shelved[V] {
	item, ok := s.items.Load(key)
	if !ok {
		return nil
	}
	return item.(*shelved[V])
}

// put puts the thing under the key, for what was there. Of more things than most,
// or with a sum of sizes above the largest, a tenth goes. It returns what is gone.
func (s *shelf[K, V]) put(key K, next *shelved[V], most, largest int) (gone []V) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := next.size
	if old := s.get(key); old != nil {
		gone = append(gone, old.value)
		next.put = old.put
		s.count--
		s.size -= old.size
	}
	if s.count >= most || s.size+size > largest {
		gone = append(gone, s.shrink(most*9/10, largest*9/10-size, key)...)
	}
	s.items.Store(key, next)
	s.count++
	s.size += size
	return gone
}

// shrink drops things until no more are left than as given, but for the one under
// the spared key, which is counted out already. The mutex is held.
func (s *shelf[K, V]) shrink(count, size int, spared K) (gone []V) {
	type candidate struct {
		key    K
		item   *shelved[V]
		once   bool
		latest int64
	}
	var all []candidate
	s.items.Range(func(key, value any) bool {
		if item := value.(*shelved[V]); key.(K) != spared {
			all = append(all, candidate{key.(K), item, item.once(), item.latest.Load()})
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
	for _, c := range all {
		if s.count <= count && s.size <= size {
			break
		}
		s.take(c.key, c.item)
		gone = append(gone, c.item.value)
	}
	return gone
}

// expire drops what was not used since the given instant.
func (s *shelf[K, V]) expire(since int64) (gone []V) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items.Range(func(key, value any) bool {
		if item := value.(*shelved[V]); item.latest.Load() < since {
			s.take(key.(K), item)
			gone = append(gone, item.value)
		}
		return true
	})
	return gone
}

// take removes the thing. The mutex is held.
func (s *shelf[K, V]) take(key K, item *shelved[V]) {
	s.items.Delete(key)
	s.count--
	s.size -= item.size
}

// each calls the function for each thing, until it returns false.
func (s *shelf[K, V]) each(f func(V) bool) {
	s.items.Range(func(_, item any) bool { return f(item.(*shelved[V]).value) })
}
