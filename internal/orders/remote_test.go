package orders

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// filled returns a storage with so many orders.
func filled(t *testing.T, n int) *fake {
	f := newFake()
	for i := range n {
		o := &Order{Address: fmt.Sprintf("10.0.%d.%d:80", i/250, i%250), State: Drain, Given: time.Now()}
		if err := NewStore().newUse(f).put(t.Context(), o.key(), o); err != nil {
			t.Fatal(err)
		}
	}
	if err := NewStore().newUse(f).mark(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return f
}

// A remote storage takes 25 ms for each key: all orders are in force before the first
// request is served.
func TestARestartObeysTheOrdersOfARemoteStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := filled(t, 100)
		f.takes = 25 * time.Millisecond
		s := NewStore()
		s.Prime(f)
		if n := len(s.List()); n != 100 {
			t.Errorf("after Prime, before the first request is served: %d orders of 100", n)
		}
		time.Sleep(time.Minute)
	})
}

func TestManyOrdersOfARemoteStorageAreObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := filled(t, 1300)
		f.takes = 25 * time.Millisecond
		s := started(t, f)
		time.Sleep(10 * time.Second)
		if n := len(s.List()); n != 1300 {
			t.Errorf("ten seconds after the start: %d orders of 1300", n)
		}
	})
}
