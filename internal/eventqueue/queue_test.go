package eventqueue

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestQueueCallsInOrderWithoutMakingAddWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var queue Queue
		var heard []int
		began := time.Now()
		for i := range 100 {
			queue.Add(func() {
				time.Sleep(time.Second) // a slow listener
				heard = append(heard, i)
			})
		}
		if waited := time.Since(began); waited > 0 {
			t.Errorf("adding took %v", waited)
		}
		queue.Close(time.Now().Add(time.Hour))
		if !slices.Equal(heard, upTo(100)) {
			t.Errorf("heard %v", heard)
		}
		queue.Add(func() { t.Error("called after it was closed") })
		synctest.Wait()
	})
}

func TestQueueStartsAgainOnceAllIsCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var queue Queue
		told := 0
		for range 3 {
			queue.Add(func() { told++ })
			synctest.Wait()
		}
		if told != 3 {
			t.Errorf("told %d times", told)
		}
		began := time.Now()
		queue.Close(time.Now().Add(time.Hour))
		if waited := time.Since(began); waited > 0 {
			t.Errorf("closing took %v, although all was told", waited)
		}
	})
}

func TestCloseWaitsUntilTheGivenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var queue Queue
		finish := make(chan struct{})
		queue.Add(func() { <-finish }) // waits for Close, as one that reloads the configuration does
		began := time.Now()
		queue.Close(time.Now().Add(5 * time.Second))
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("closing took %v", waited)
		}
		close(finish)
	})
}

func TestHeldQueueCallsOnRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var queue Queue
		var heard []int
		queue.Hold()
		for i := range 3 {
			queue.Add(func() { heard = append(heard, i) })
		}
		synctest.Wait()
		if len(heard) > 0 {
			t.Errorf("heard %v before the release", heard)
		}
		queue.Release()
		synctest.Wait()
		if !slices.Equal(heard, upTo(3)) {
			t.Errorf("heard %v", heard)
		}
	})
}

func TestQueueClosedWhileHeldCallsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var queue Queue
		queue.Hold()
		queue.Add(func() { t.Error("told") })
		queue.Close(time.Now().Add(time.Hour))
		queue.Release()
		synctest.Wait()
	})
}

func TestQueueIsBoundedWhileAListenerHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var queue Queue
		finish := make(chan struct{})
		queue.Add(func() { <-finish })
		synctest.Wait()
		heard, lost := 0, 0
		for range MaxWaiting + 7 {
			if !queue.Add(func() { heard++ }) {
				lost++
			}
		}
		close(finish)
		synctest.Wait()
		if heard != MaxWaiting || lost != 7 {
			t.Errorf("heard %d, lost %d", heard, lost)
		}
	})
}

func TestClosedQueueEndsWithTheCallInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var queue Queue
		finish := make(chan struct{})
		queue.Add(func() { <-finish })
		queue.Add(func() { t.Error("called after the time had passed") })
		queue.Close(time.Now().Add(time.Second))
		close(finish)
		synctest.Wait()
	})
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}
