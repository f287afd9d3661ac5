package budget

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// at returns an instant.
func at(d time.Duration) int64 { return int64(d) }

// drain makes as many extra attempts as there may be.
func drain(b *Budget, now int64, l Limit) (n int) {
	for {
		granted, _ := b.Withdraw(now, l)
		if !granted {
			return n
		}
		b.Made(now)
		b.Deposit(now)
		n++
	}
}

func deposit(b *Budget, now int64, n int) {
	for range n {
		b.Deposit(now)
	}
}

func TestExtraAttemptsAreAShareAndSomeASecond(t *testing.T) {
	for _, c := range []struct {
		limit Limit
		first int
		want  int
	}{
		{Limit{20, 10}, 0, 100},
		{Limit{20, 10}, 1000, 300},
		{Limit{20, 0}, 4, 0},
		{Limit{20, 0}, 5, 1},
		{Limit{29, 0}, 100, 29},
		{Limit{0, 0}, 1000, 0},
		{Limit{0, 1}, 1000, 10},
		{Limit{100, 0}, 1000, 1000},
		{Limit{100, 1_000_000}, 0, 10_000_000},
	} {
		if c.want > 10_000 {
			continue
		}
		b, now := new(Budget), at(time.Hour)
		deposit(b, now, c.first)
		if got := drain(b, now, c.limit); got != c.want {
			t.Errorf("%+v of %d: %d, want %d", c.limit, c.first, got, c.want)
		}
	}
}

// What was done counts for as long as it is said to, and no longer.
func TestWindow(t *testing.T) {
	b, l, start := new(Budget), Limit{20, 10}, time.Hour
	deposit(b, at(start+999*time.Millisecond), 1000)
	if got := drain(b, at(start+9*time.Second), l); got != 300 {
		t.Errorf("first attempts of the tenth second before: %d", got)
	}
	// Those have gone, and the 300 extra ones have not.
	if got := drain(b, at(start+19*time.Second+999*time.Millisecond), l); got != 0 {
		t.Errorf("after 10 s: %d", got)
	}
	if got := drain(b, at(start+20*time.Second), l); got != 100 {
		t.Errorf("after 11 s: %d, want those per second", got)
	}
	if got := drain(b, at(start+2*time.Hour), l); got != 100 {
		t.Errorf("much later: %d", got)
	}
}

func TestGrantsThatWaitCount(t *testing.T) {
	b, l, now := new(Budget), Limit{0, 1}, at(time.Hour)
	for range 10 {
		if granted, _ := b.Withdraw(now, l); !granted {
			t.Fatal("not granted")
		}
	}
	now += at(time.Minute)
	if granted, level := b.Withdraw(now, l); granted || level != (Level{0, 10}) {
		t.Errorf("ten wait: %v, %+v", granted, level)
	}
	b.GiveUp()
	b.Made(now)
	if got := drain(b, now, l); got != 1 {
		t.Errorf("one was given up, one made: %d more, want 1", got)
	}
}

// A shard knows what it is late for.
func TestDepositThatIsLate(t *testing.T) {
	b := new(Budget)
	deposit(b, at(time.Hour), 500)
	deposit(b, at(time.Hour)-at(slots*time.Second), 500)
	if got := b.attempts(secondOf(at(time.Hour))); got != 500 {
		t.Errorf("%d count, want 500", got)
	}
}

// model keeps all that has happened.
type model struct {
	attempts, extras []uint32 // seconds
	granted          int
}

func within(seconds []uint32, now, window uint32) (n int) {
	for _, s := range seconds {
		if s <= now && now-s < window {
			n++
		}
	}
	return n
}

func TestBudgetAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Limit{rapid.Float64Range(0, 100).Draw(t, "percent"), rapid.IntRange(0, 3).Draw(t, "per second")}
		b, now := new(Budget), at(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "start")))
		var m model
		t.Repeat(map[string]func(*rapid.T){
			"time": func(t *rapid.T) { now += rapid.Int64Range(0, at(3*time.Second)).Draw(t, "ns") },
			"long": func(t *rapid.T) { now += rapid.Int64Range(0, at(40*time.Second)).Draw(t, "ns") },
			"first": func(t *rapid.T) {
				n := rapid.IntRange(1, 50).Draw(t, "n")
				deposit(b, now, n)
				for range n {
					m.attempts = append(m.attempts, secondOf(now))
				}
			},
			"withdraw": func(t *rapid.T) {
				second := secondOf(now)
				first := within(m.attempts, second, 10) - within(m.extras, second, 10)
				extra := within(m.extras, second, 11) + m.granted
				want := float64(extra+1) <= l.Percent*float64(first)/100+float64(10*l.PerSecond)
				granted, level := b.Withdraw(now, l)
				if granted != want || level != (Level{first, extra}) {
					t.Fatalf("%v at %+v, want %v at %d and %d", granted, level, want, first, extra)
				}
				if granted {
					m.granted++
				}
			},
			"made": func(t *rapid.T) {
				if m.granted == 0 {
					t.Skip()
				}
				m.granted--
				b.Made(now)
				b.Deposit(now)
				m.attempts, m.extras = append(m.attempts, secondOf(now)), append(m.extras, secondOf(now))
			},
			"give up": func(t *rapid.T) {
				if m.granted == 0 {
					t.Skip()
				}
				m.granted--
				b.GiveUp()
			},
		})
	})
}

// The bound that is promised holds wherever the seconds begin: in any n × 10 s.
func TestBoundInAnyTenSeconds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Limit{rapid.Float64Range(0, 100).Draw(t, "percent"), rapid.IntRange(0, 3).Draw(t, "per second")}
		b, now := new(Budget), at(time.Hour)
		var firsts, extras []int64 // instants
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now += rapid.Int64Range(0, at(4*time.Second)).Draw(t, "ns")
			for range rapid.IntRange(0, 30).Draw(t, "requests") {
				b.Deposit(now)
				firsts = append(firsts, now)
			}
			if rapid.Bool().Draw(t, "all fail") {
				for range drain(b, now, l) {
					extras = append(extras, now)
				}
			}
		}
		between := func(instants []int64, from, to int64) (n int) {
			for _, i := range instants {
				if i > from && i <= to {
					n++
				}
			}
			return n
		}
		for _, end := range extras {
			for n := range int64(5) {
				length := (n + 1) * at(10*time.Second)
				first, extra := between(firsts, end-length-at(10*time.Second), end), between(extras, end-length, end)
				if most := l.Percent*float64(first)/100 + float64((n+1)*10*int64(l.PerSecond)); float64(extra) > most+1e-6 {
					t.Fatalf("%d extra attempts in %d × 10 s, at most %v", extra, n+1, most)
				}
			}
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	b, l, now := new(Budget), Limit{20, 1}, at(time.Hour)
	var group sync.WaitGroup
	var made atomic.Int64
	for range 8 {
		group.Go(func() {
			for range 1000 {
				b.Deposit(now)
				if granted, _ := b.Withdraw(now, l); granted {
					b.Made(now)
					b.Deposit(now)
					made.Add(1)
				}
			}
		})
	}
	group.Wait()
	made.Add(int64(drain(b, now, l)))
	if got := made.Load(); got != 1610 {
		t.Errorf("%d extra attempts of 8000 first ones, want 1610", got)
	}
}

func BenchmarkDeposit(b *testing.B) {
	var budget Budget
	var goroutines atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for now := at(time.Hour) + goroutines.Add(31337); pb.Next(); now += 1009 {
			budget.Deposit(now)
		}
	})
}

func BenchmarkWithdraw(b *testing.B) {
	budget, now := new(Budget), at(time.Hour)
	deposit(budget, now, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		if granted, _ := budget.Withdraw(now, Limit{100, 10}); granted {
			budget.GiveUp()
		}
	}
}
