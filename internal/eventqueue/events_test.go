package eventqueue

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestEventsWaitForTheReleaseAndLogLinesDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := NewEvents(zap.NewNop())
		var heard []string
		e.Emit(func() { heard = append(heard, "event") })
		e.Log(func() { heard = append(heard, "line") })
		synctest.Wait()
		e.Release()
		e.Close(time.Now().Add(time.Hour))
		if !slices.Equal(heard, []string{"line", "event"}) {
			t.Errorf("heard %q", heard)
		}
	})
}

func TestLossOfEventsIsLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.ErrorLevel)
		e := NewEvents(zap.New(core))
		for range MaxWaiting + 100 {
			e.Emit(func() {})
		}
		synctest.Wait()
		if n := logs.Len(); n != 1 {
			t.Errorf("%d lines", n)
		}
		time.Sleep(time.Minute + time.Second)
		e.Emit(func() {})
		synctest.Wait()
		if n := logs.Len(); n != 2 {
			t.Errorf("%d lines a minute later", n)
		}
		e.Close(time.Now())
	})
}
