package orders

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestStoresThatShareAStorageObeyAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		a, b := started(t, f), started(t, f)
		told := make(chan struct{}, 10)
		defer b.Subscribe(func() { told <- struct{}{} }).End()
		give(t, a, "", "x:80", drain)
		expect(t, a, "x:80 drain")
		began := time.Now()
		<-told
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the other store obeyed after %v", took)
		}
		expect(t, b, "x:80 drain")
		if a.Tag("", "x:80") != b.Tag("", "x:80") {
			t.Error("the tags of the same order differ")
		}
		give(t, b, "", "x:80", weight(3))
		give(t, b, "p", "", paused)
		later()
		expect(t, a, "p/ paused, x:80 drain, weight 3")
		give(t, a, "", "x:80", none)
		give(t, a, "p", "", none)
		later()
		expect(t, b, "")
		if len(told) > 4 {
			t.Errorf("told %d times of four changes", len(told)+1)
		}
		expect(t, started(t, f), "")
	})
}

// A process that starts obeys from the first request on.
func TestRestartKeepsOrders(t *testing.T) {
	f := newFake()
	s := NewStore()
	u := s.Attach(f)
	give(t, s, "", "x:80", maint)
	s.Detach(u, time.Now().Add(time.Minute))
	next := NewStore()
	next.Prime(f)
	expect(t, next, "x:80 maintenance")
}

// Where nothing runs, what the process knew before is no better than what the storage has.
func TestStoppedProcessKnowsNothingBetter(t *testing.T) {
	s := NewStore()
	u := s.Attach(newFake())
	give(t, s, "", "x:80", drain)
	s.Detach(u, time.Now().Add(time.Minute))
	s.Prime(newFake())
	expect(t, s, "")
}

func TestOrderEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s, other := started(t, f), started(t, f)
		give(t, s, "", "x:80", until(30*time.Minute))
		give(t, s, "", "y:80", until(2*time.Hour))
		later()
		f.set(func() { f.fails = errBroken }) // it ends without the storage
		told := make(chan struct{}, 100)
		defer other.Subscribe(func() { told <- struct{}{} }).End()
		began := time.Now()
		<-told
		if at := time.Since(began) + 5*time.Second; at != 30*time.Minute {
			t.Errorf("it ended after %v", at)
		}
		expect(t, s, "y:80 drain")
		expect(t, other, "y:80 drain")
		f.set(func() { f.fails = nil })
		time.Sleep(4 * time.Hour)
		if expect(t, s, ""); len(f.values) != 1 {
			t.Errorf("ended orders stay in the storage: %d keys", len(f.values))
		}
	})
}

// A new order under the key of one that ended long ago is not swept away with it.
func TestSweepSparesANewOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s := started(t, f)
		give(t, s, "", "x:80", until(time.Minute))
		swept := make(chan string, 1)
		at := given.storageKey(key{"", "x:80"})
		second := false
		f.set(func() {
			f.during = func(op, k string) {
				if o := s.book.all()[key{"", "x:80"}]; op == "load" && k == at && o != nil && o.ended(time.Now().Add(-time.Hour)) {
					if second { // the look again before the removal: another instance has just given an order
						f.set(func() { f.during = nil })
						other := NewStore().newUse(f)
						_ = other.put(t.Context(), key{"", "x:80"}, &Order{Address: "x:80", State: Maintenance, Given: time.Now()})
						swept <- op
					}
					second = true
				}
			}
		})
		<-swept
		later()
		expect(t, s, "x:80 maintenance")
	})
}

func TestOfConflictingOrdersOneWins(t *testing.T) {
	s := started(t, newFake())
	for range 20 {
		tag := s.Tag("", "x:80")
		var wins, conflicts int
		var mu sync.Mutex
		var all sync.WaitGroup
		for n := range 8 {
			all.Go(func() {
				err := try(s, "", "x:80", tag, weight(n))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					wins++
				case errors.Is(err, ErrConflict):
					conflicts++
				}
			})
		}
		if all.Wait(); wins != 1 || conflicts != 7 {
			t.Fatalf("%d won and %d had conflicts", wins, conflicts)
		}
	}
	if err := try(s, "", "x:80", "0000", drain); !errors.Is(err, ErrConflict) {
		t.Errorf("with a tag of nothing: %v", err)
	}
}

// An order given or ended while the storage is read, after that key was, is not undone
// by the reading.
func TestOrdersDuringAReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s := started(t, f)
		give(t, s, "", "old:80", drain)
		give(t, s, "", "stays:80", drain)
		later()
		listed, goOn := make(chan struct{}), make(chan struct{})
		once := false
		f.set(func() {
			f.during = func(op, key string) {
				if op == "load" && key == storageKey2("stays:80") && !once {
					once = true
					close(listed)
					<-goOn
				}
			}
		})
		<-listed // keys are known; of old:80, perhaps the order, too
		give(t, s, "", "new:80", drain)
		give(t, s, "", "old:80", none)
		close(goOn)
		synctest.Wait()
		expect(t, s, "new:80 drain, stays:80 drain")
		later()
		expect(t, s, "new:80 drain, stays:80 drain")
	})
}

func storageKey2(address string) string { return given.storageKey(key{"", address}) }

func TestTenThousandOrders(t *testing.T) {
	f := newFake()
	for i := range maxStored {
		o := &Order{Address: fmt.Sprintf("10.0.%d.%d:80", i/250, i%250), State: Drain, Given: time.Now()}
		if err := NewStore().newUse(f).put(t.Context(), o.key(), o); err != nil {
			t.Fatal(err)
		}
	}
	if err := NewStore().newUse(f).mark(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	s := NewStore()
	u := s.Attach(f)
	defer func() { s.Detach(u, time.Now().Add(time.Minute)) }()
	<-s.read(t.Context(), u, false)
	if n := len(s.List()); n != maxStored {
		t.Fatalf("%d orders", n)
	}
	err := try(s, "", "one:80", "", drain)
	if err == nil || !strings.Contains(err.Error(), "no more are kept") {
		t.Errorf("one more: %v", err)
	}
	give(t, s, "", "10.0.0.0:80", none)
	give(t, s, "", "one:80", drain)
	if n := len(s.List()); n != maxStored {
		t.Errorf("%d orders", n)
	}
}

func TestNothingIsOrderedWhereNothingRuns(t *testing.T) {
	s := NewStore()
	var storage *StorageError
	if err := try(s, "", "x:80", "", drain); !errors.As(err, &storage) || len(s.List()) > 0 {
		t.Errorf("%v, %d orders", err, len(s.List()))
	}
	s.Prime(nil)
	s.Detach(nil, time.Now())
}

func TestChangeToNothing(t *testing.T) {
	f := newFake()
	s := started(t, f)
	for name, edit := range map[string]func(*Order){
		"nothing": none,
		"ready":   func(o *Order) { o.State = Ready },
		"reason":  func(o *Order) { o.Reason = "none" },
		"ended":   func(o *Order) { until(-time.Second)(o) },
	} {
		g, err := s.Change(context.Background(), "", "x:80", "", func(o *Order) error { edit(o); return nil })
		if err != nil || g.Order != nil || g.Before != nil || len(f.values) > 0 {
			t.Errorf("%s: %+v, %v", name, g, err)
		}
	}
	give(t, s, "", "x:80", drain)
	give(t, s, "p", "x:80", func(o *Order) { o.State = Ready })
	if e := s.Of("p", "x:80"); e.State != "" || e.StateBy == nil || s.Of("q", "x:80").State != Drain {
		t.Errorf("ready in one pool does not override the order for all: %+v", e)
	}
}
