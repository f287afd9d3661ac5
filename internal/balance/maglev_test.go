package balance

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// naiveMaglev is the paper's pseudocode, with every list of slots written down,
// and whoever is due soonest found among all.
func naiveMaglev(members []Member, size int) []uint32 {
	seats := seated(members)
	lists, next := make([][]int, len(seats)), make([]int, len(seats))
	taken := make([]float64, len(seats))
	for i, s := range seats {
		offset, skip := int(Rehash(s.id, 1)%uint64(size)), int(Rehash(s.id, 2)%uint64(size-1))+1
		for j := range size {
			lists[i] = append(lists[i], (offset+j*skip)%size)
		}
	}
	slots := slices.Repeat([]uint32{vacant}, size)
	for range size {
		turn, soonest := 0, math.Inf(1)
		for i, s := range seats {
			due := 0.0
			if taken[i] > 0 {
				due = (taken[i] + 0.5) / float64(s.weight)
			}
			if due < soonest {
				turn, soonest = i, due
			}
		}
		for slots[lists[turn][next[turn]]] != vacant {
			next[turn]++
		}
		slots[lists[turn][next[turn]]] = seats[turn].place
		taken[turn]++
	}
	return slots
}

// all returns whose each slot is.
func (m *Maglev) all() []uint32 {
	all := slices.Clone(m.slots)
	for _, place := range m.short {
		all = append(all, uint32(place))
	}
	return all
}

// Above some number of members, slots need more bits.
func TestMaglevOfVeryMany(t *testing.T) {
	for _, n := range []int{math.MaxUint16, math.MaxUint16 + 1, 70_000} {
		size := 131_101
		has := make([]int, n)
		m := NewMaglev(fleet(n, 1), size)
		for _, place := range m.all() {
			has[place]++
		}
		if len(m.all()) != size || slices.Min(has) < 1 {
			t.Errorf("%d: %d slots, one has %d", n, len(m.all()), slices.Min(has))
		}
		if at := m.At(12345); at < 0 || at >= n {
			t.Errorf("%d: a key is at %d", n, at)
		}
	}
}

func TestMaglevIsThePapers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := someMembers(t, 30, 100)
		size := rapid.SampledFrom([]int{2, 3, 7, 101, 1009}).Draw(t, "size")
		if got, want := NewMaglev(members, size).all(), naiveMaglev(members, size); !slices.Equal(got, want) {
			t.Errorf("slots are %v, want %v", got, want)
		}
	})
}

// Slots are shared out as Webster's method has it: nobody's last slot would bring
// somebody else nearer to its due. And everyone has one, where slots suffice.
func TestMaglevSharesOutSlots(t *testing.T) {
	check := func(t rapid.TB, members []Member, size int) {
		has := make([]float64, len(members))
		for _, place := range NewMaglev(members, size).all() {
			has[place]++
		}
		if size < len(members) {
			if slices.Max(has) > 1 {
				t.Fatalf("one has %v slots while others have none", slices.Max(has))
			}
			return
		}
		last, next := 0.0, math.Inf(1)
		for i, m := range members {
			if has[i] < 1 {
				t.Fatalf("%d has no slot", i)
			}
			if has[i] > 1 {
				last = max(last, (has[i]-0.5)/float64(m.Weight))
			}
			next = min(next, (has[i]+0.5)/float64(m.Weight))
		}
		if last > next {
			t.Fatalf("one has a slot that was due at %v while one due at %v has none", last, next)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		members := someMembers(t, 30, math.MaxUint32)
		check(t, members, rapid.SampledFrom([]int{2, 11, 101, 1009, 10007}).Draw(t, "size"))
	})
	for _, weights := range [][]uint32{{1}, upTo10, {math.MaxInt32}, repeat(999, 1, math.MaxInt32)} {
		check(t, fleet(1000, weights...), 65537)
	}
}

func TestMaglevSize(t *testing.T) {
	for n, want := range map[int]int{
		1: 65537, 160: 65537,
		161: 262147, 2621: 262147,
		2622: 1048583, 10_000: 1048583, 10_485: 1048583,
		10_486: 4194319,
	} {
		if got := MaglevSize(n); got != want {
			t.Errorf("%d members: %d slots, want %d", n, got, want)
		}
	}
	for n := 1; n < 1_000_000; n += 1 + n/50 {
		if size := MaglevSize(n); size <= 100*n || size > max(2621, 401*n)*100 || !IsPrime(size) {
			t.Errorf("%d members: %d slots", n, size)
		}
	}
}

func TestIsPrime(t *testing.T) {
	composite := make([]bool, 10_000)
	for n := 2; n < len(composite); n++ {
		if IsPrime(n) == composite[n] {
			t.Errorf("%d: prime is %t", n, IsPrime(n))
		}
		for m := 2 * n; m < len(composite); m += n {
			composite[m] = true
		}
	}
	for n, want := range map[int]bool{
		-7: false, 0: false, 1: false,
		5_000_011: true, math.MaxInt32: true,
		math.MaxInt64: false, math.MaxInt64 - 24: true,
	} {
		if IsPrime(n) != want {
			t.Errorf("%d: prime is %t", n, IsPrime(n))
		}
	}
}
