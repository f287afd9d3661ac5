package endpoint

import (
	"testing"
	"time"
)

func TestHowLongAnAddressKeepsIdleConnections(t *testing.T) {
	at := func(after time.Duration) int64 { return int64(time.Hour + after) }
	var i Idle
	expect := func(when string, now int64, least, sure time.Duration) {
		t.Helper()
		if i.Least() != least || i.Settled(now) != sure {
			t.Errorf("%s: %s, settled %s; want %s, %s", when, i.Least(), i.Settled(now), least, sure)
		}
	}
	expect("nothing is known", at(0), 0, 0)
	i.Closed(3*time.Second, at(0))
	i.Closed(2*time.Second, at(1))
	i.Closed(4*time.Second, at(2))
	expect("three were closed", at(0), 2*time.Second, 0)
	expect("later", at(settled), 2*time.Second, 2*time.Second)
	i.Open(4 * time.Second)
	expect("one was open for not clearly longer", at(settled), 2*time.Second, 2*time.Second)
	i.Lost(at(settled))
	expect("the upstream went away long after", at(settled), 2*time.Second, 2*time.Second)
	i.Open(4*time.Second + 1)
	expect("one was open for longer", at(settled), 0, 0)
	i.Closed(time.Second, at(20*time.Second))
	i.Lost(at(21 * time.Second))
	expect("the upstream went away shortly after", at(time.Hour), 0, 0)
}

func TestSamplesOfIdleTimes(t *testing.T) {
	now := int64(time.Hour)
	var i Idle
	if i.Sample(now) {
		t.Error("a sample, and nothing is known")
	}
	i.Closed(time.Second, now)
	if !i.Sample(now) || i.Sample(now) || i.Sample(now+int64(sampling)-1) || !i.Sample(now+int64(sampling)) {
		t.Error("not one sample a second")
	}
}

func TestNoIdleLearnsNothing(t *testing.T) {
	i := IdleOf(nil)
	i.Closed(time.Second, 1)
	i.Open(time.Hour)
	i.Lost(1)
	if i.Least() != 0 || i.Settled(1) != 0 || i.Sample(1) {
		t.Error("something was learned")
	}
	if e := new(Endpoint); IdleOf(e) != &e.Idle {
		t.Error("not the endpoint's")
	}
}
