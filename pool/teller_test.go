package pool

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestTellerTellsInOrderWithoutHoldingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var teller teller
		var heard []int
		began := time.Now()
		for i := range 100 {
			teller.tell(func() {
				time.Sleep(time.Second) // who listens takes its time
				heard = append(heard, i)
			})
		}
		if waited := time.Since(began); waited > 0 {
			t.Errorf("telling took %v", waited)
		}
		teller.close(time.Hour)
		if !slices.Equal(heard, upTo(100)) {
			t.Errorf("heard %v", heard)
		}
		teller.tell(func() { t.Error("told after it was closed") })
		synctest.Wait()
	})
}

func TestTellerBeginsAnewOnceAllIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var teller teller
		told := 0
		for range 3 {
			teller.tell(func() { told++ })
			synctest.Wait()
		}
		if told != 3 {
			t.Errorf("told %d times", told)
		}
		began := time.Now()
		teller.close(time.Hour)
		if waited := time.Since(began); waited > 0 {
			t.Errorf("closing took %v, although all was told", waited)
		}
	})
}

func TestClosingTellerIsNotPatientForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var teller teller
		finish := make(chan struct{})
		teller.tell(func() { <-finish }) // waits for us, as one who reloads the configuration
		began := time.Now()
		teller.close(5 * time.Second)
		if waited := time.Since(began); waited != 5*time.Second {
			t.Errorf("closing took %v", waited)
		}
		close(finish)
	})
}

func TestTellerThatIsHeldTellsUponRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var teller teller
		var heard []int
		teller.hold()
		for i := range 3 {
			teller.tell(func() { heard = append(heard, i) })
		}
		synctest.Wait()
		if len(heard) > 0 {
			t.Errorf("heard %v before the release", heard)
		}
		teller.release()
		synctest.Wait()
		if !slices.Equal(heard, upTo(3)) {
			t.Errorf("heard %v", heard)
		}
	})
}

func TestTellerThatIsClosedWhileHeldTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var teller teller
		teller.hold()
		teller.tell(func() { t.Error("told") })
		teller.close(time.Hour)
		teller.release()
		synctest.Wait()
	})
}
