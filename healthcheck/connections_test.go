package healthcheck

import (
	"testing"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

func TestConnectionsASecondAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const n = 5000
		d, p := newDialer(), newLosing(t).start()
		for i := range n {
			p.lose(d, address(i))
		}
		sleep(30 * time.Second)
		for i, j := 0, 0; i < len(d.all); i++ {
			for d.all[i]-d.all[j] >= time.Second {
				j++
			}
			if i-j+1 > maxConnections {
				t.Fatalf("%d connections in a second", i-j+1)
			}
		}
		if len(d.all) < 29*900 {
			t.Errorf("%d connections in 30s", len(d.all))
		}
		for i := range n {
			if times := d.to(address(i)); len(times) < 5 || longest(times) > 5500*ms {
				t.Fatalf("upstream %d is connected to at %v", i, times)
			}
		}
	})
}

func TestPoolsShareTheBoundFairly(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, large, small := newDialer(), newLosing(t).start(), newLosing(t).start()
		for i := range 10_000 {
			large.lose(d, address(i))
		}
		sleep(20 * time.Second)
		const first, n = 10_000, 100 // need 250 a second
		for i := range n {
			small.lose(d, address(first+i))
		}
		sleep(20 * time.Second)
		for i := range n {
			if most := longest(d.to(address(first + i))); most > 400*ms+5*tick {
				t.Errorf("distance %v in the small pool", most)
			}
		}
	})
}

func TestHungConnectionsLeaveSlots(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		hung := newDialer()
		hung.set(nil, time.Hour, false)
		large, small := newLosing(t).start(), newLosing(t).start()
		for i := range 5000 {
			large.lose(hung, address(i))
		}
		sleep(10 * time.Second)
		if limit := monitor.slots[probeSlots].limit / 2; hung.most > limit || hung.most < limit-1 {
			t.Errorf("%d connections at once", hung.most)
		}
		d := newDialer()
		for i := range 10 {
			small.lose(d, address(6000+i))
		}
		g := newGaps(20 * ms)
		newConfig(t, `{"interval":"1s","timeout":"1s","jitter":0}`, g.probe).watchFrom(7000, 100).start()
		sleep(20 * time.Second)
		if late := g.longest(100) - time.Second; late > 100*ms {
			t.Errorf("a probe was %v late", late)
		}
		for i := range 10 {
			if most := longest(d.to(address(6000 + i))); most > 400*ms+5*tick {
				t.Errorf("distance %v in the small pool", most)
			}
		}
	})
}

// With one slot for all, probes and connections get it by turns.
func TestProbesAndConnectionsShareOneSlot(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, b := newDialer(), newRecorder()
		d.set(errRefused, 50*ms, false)
		b.takes = 50 * ms
		c := newConfig(t, `{"interval":"1s","timeout":"1s"}`, b.probe)
		c.check.group.configuration.app.ProbeConcurrency = 1
		c.watch(1000, nil)
		p := newLosing(t)
		p.app.ProbeConcurrency = 1
		for i := range 1000 {
			p.lose(d, address(i))
		}
		p.start()
		c.start()
		sleep(20 * time.Second)
		if probes, connections := b.count(), len(d.all); min(probes, connections) < 150 || b.most+d.most > 2 {
			t.Errorf("%d probes and %d connections in 20s", probes, connections)
		}
	})
}

// A connection that hangs is given up after as long as the transport lets one take: 3 s by
// default.
func TestConnectionsTimeOut(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, p := newDialer(), newLosing(t).start()
		d.set(nil, time.Hour, false)
		l := p.lose(d, address(0))
		sleep(20 * time.Second)
		times := d.to(address(0))
		if most := longest(times); most != 3400*ms || len(times) < 6 {
			t.Errorf("connections at %v", times)
		}
		if l.times() != 0 {
			t.Error("reached")
		}
	})
}

func TestStopCancelsTheConnection(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, p := newDialer(), newLosing(t).start()
		d.set(nil, time.Hour, false)
		l, other := p.lose(d, address(0)), newLosing(t).start().lose(d, address(0))
		sleep(500 * ms)
		d.set(nil, 0, false)
		l.Stop()
		l.Stop()
		sleep(tick)
		if l.times() != 0 || other.times() != 1 {
			t.Errorf("reached %d times; %d by the other, whose turn it is then", l.times(), other.times())
		}
	})
}

func TestClosingWaitsForConnections(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, old, next := newDialer(), newLosing(t).start(), newLosing(t).start()
		d.set(nil, 3*time.Second, true) // whatever its context says
		l := old.lose(d, address(0))
		sleep(500 * ms)
		successor := next.lose(d, address(0))
		began := time.Now()
		old.group.CloseReconnections(began.Add(time.Second))
		if took := time.Since(began); took != time.Second {
			t.Errorf("closing took %v, want the second that it had", took)
		}
		d.set(nil, 0, false)
		old.group.CloseReconnections(began.Add(time.Hour))
		if took := time.Since(began); took < 2500*ms || took > 2700*ms {
			t.Errorf("the connection ended after %v", took)
		}
		sleep(time.Second)
		if l.times() != 0 || successor.times() != 1 {
			t.Errorf("reached %d times, by the next configuration %d", l.times(), successor.times())
		}
	})
}

func TestClosingWaitsForReached(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, other, p := newDialer(), newLosing(t).start(), newLosing(t).start()
		other.lose(d, address(0)) // has the turns
		done := false
		p.group.Reconnect(Reconnection{
			Dialled: address(0), Connector: d.connector(t, ""), Since: instant.Now(), Hurry: func() bool { return false },
			Reached: func() { time.Sleep(time.Second); done = true },
		})
		d.set(nil, 0, false)
		sleep(300 * ms)
		p.group.CloseReconnections(time.Now().Add(time.Hour))
		if !done {
			t.Error("closed before Reached has returned")
		}
	})
}

func TestConnectionsOverReloads(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, p := newDialer(), newLosing(t).start()
		p.lose(d, address(0))
		for range 20 {
			next := newLosing(t)
			next.lose(d, address(0))
			next.start()
			p.close()
			p = next
			sleep(time.Second)
		}
		if n := len(d.all); n < 50 || n > 3*21 {
			t.Errorf("%d connections in 20s", n)
		}
	})
}
