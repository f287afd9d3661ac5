package healthcheck

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

const ms = time.Millisecond

func TestDistancesGrow(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, p := newDialer(), newLosing(t).start()
		p.lose(d, address(0))
		sleep(2 * time.Minute)
		times := d.to(address(0))
		if want := []time.Duration{100 * ms, 300 * ms, 700 * ms, 1100 * ms, 1500 * ms}; !slices.Equal(times[:5], want) {
			t.Errorf("connections at %v, want %v", times[:5], want)
		}
		after := slices.IndexFunc(times, func(at time.Duration) bool { return at > time.Minute })
		if most := longest(times[:after]); most != 400*ms {
			t.Errorf("distance %v in the first minute", most)
		}
		at := times[after]
		for i, distance := range []time.Duration{800 * ms, 1600 * ms, 3200 * ms, 5 * time.Second, 5 * time.Second} {
			at += distance
			if got := times[after+1+i]; got != at {
				t.Errorf("connection at %v after a minute, want %v", got, at)
			}
		}
	})
}

func TestDistancesAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, p := newDialer(), newLosing(t).start()
		for i := range connectionsAtOnce {
			p.lose(d, address(i))
		}
		sleep(10 * time.Second)
		for i := range connectionsAtOnce {
			times := d.to(address(i))
			if times[0] < 90*ms || times[0] > 100*ms+tick {
				t.Errorf("the first at %v", times[0])
			}
			for j, at := range times[3:] {
				if distance := at - times[2+j]; distance < 360*ms || distance > 400*ms+tick {
					t.Errorf("distance %v", distance)
				}
			}
		}
	})
}

func TestRequestsThatWaitKeepDistancesNear(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, p := newDialer(), newLosing(t).start()
		var hurry atomic.Bool
		hurry.Store(true)
		l := p.loseWith(Reconnection{Dialled: address(0), Connector: d.connector(t, ""), Since: 1, Hurry: hurry.Load})
		sleep(time.Minute)
		if most := longest(d.to(address(0))); most != 400*ms {
			t.Errorf("distance %v", most)
		}
		hurry.Store(false)
		sleep(time.Minute + 300*ms)
		before := d.to(address(0))
		if most := longest(before); most != 5*time.Second {
			t.Errorf("distance %v once nobody waits", most)
		}
		hurry.Store(true)
		began := time.Since(d.began)
		l.Hasten()
		l.Hasten()
		sleep(10 * time.Second)
		times := d.to(address(0))[len(before):]
		if wait := times[0] - began; wait > 400*ms {
			t.Errorf("hastened, the next comes %v later", wait)
		}
		if most := longest(times); most != 400*ms {
			t.Errorf("distance %v after that", most)
		}
		l.Stop()
		l.Hasten()
	})
}

func TestReconnectionIsOverWithTheFirstSuccess(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, p := newDialer(), newLosing(t).start()
		l := p.lose(d, address(0))
		sleep(time.Second)
		d.set(nil, 0, false)
		sleep(time.Minute)
		if n := l.times(); n != 1 {
			t.Errorf("reached %d times", n)
		}
		if n := len(d.to(address(0))); n != 4 {
			t.Errorf("%d connections", n)
		}
		l.Hasten()
		l.Stop()
	})
}

func TestReachedMayStopAndBeginAnew(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, p := newDialer(), newLosing(t).start()
		d.set(nil, 0, false)
		began := make(chan *Reconnecting, 1)
		var again *lostBy
		began <- p.group.Reconnect(Reconnection{
			Dialled: address(0), Connector: d.connector(t, ""), Hurry: func() bool { return true },
			Reached: func() {
				(<-began).Stop()
				again = p.lose(d, address(0))
			},
		})
		sleep(time.Minute)
		if again == nil || again.times() != 1 {
			t.Error("not reached again")
		}
	})
}

func TestUpstreamThatOnlyAcceptsIsGivenTime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, p := newDialer(), newLosing(t).start()
		d.set(nil, 0, false)
		for accepting, want := range []time.Duration{100 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5 * time.Second} {
			began, before := time.Since(d.began), len(d.to(address(0)))
			p.loseWith(Reconnection{Dialled: address(0), Connector: d.connector(t, ""), Since: instant.Now(), Accepting: accepting})
			sleep(time.Minute)
			if got := d.to(address(0))[before] - began; got != want {
				t.Errorf("after %d in vain the first comes at %v, want %v", accepting, got, want)
			}
		}
		huge := p.loseWith(Reconnection{Dialled: address(1), Connector: d.connector(t, ""), Accepting: 1 << 30})
		other := p.lose(d, address(1)) // its success is too early for the first
		sleep(time.Second)
		if other.times() != 1 || huge.times() != 0 {
			t.Errorf("reached %d and %d times", other.times(), huge.times())
		}
		sleep(5 * time.Second)
		if huge.times() != 1 || len(d.to(address(1))) != 2 {
			t.Errorf("reached %d times, by %d connections", huge.times(), len(d.to(address(1))))
		}
	})
}

func TestPoolsShareConnections(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDialer()
		var all []*lostBy
		for range 3 {
			p := newLosing(t).start()
			all = append(all, p.lose(d, address(0)), p.lose(d, address(0)))
		}
		sleep(time.Second + 50*ms)
		if n := len(d.to(address(0))); n != 3 {
			t.Errorf("%d connections in a second", n)
		}
		d.set(nil, 0, false)
		sleep(time.Minute)
		for i, l := range all {
			if l.times() != 1 {
				t.Errorf("reconnection %d has reached it %d times", i, l.times())
			}
		}
		if n := len(d.to(address(0))); n != 4 {
			t.Errorf("%d connections", n)
		}
	})
}

func TestDifferentConnectorsTakeTurns(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d := newDialer()
		d.set(errRefused, 300*ms, false)
		own, other := newLosing(t).start(), newLosing(t).start()
		lose := func(p *losing, label string) *lostBy {
			return p.loseWith(Reconnection{Dialled: address(0), Connector: d.connector(t, label), Since: instant.Now()})
		}
		a, c, b := lose(own, "a"), lose(own, "c"), lose(other, "b")
		sleep(20 * time.Second)
		by := d.by[address(0)]
		for i, label := range by {
			if label != []string{"a", "c", "b"}[i%3] {
				t.Fatalf("connection %d of %v", i, by)
			}
		}
		if len(by) < 25 {
			t.Errorf("%d connections", len(by))
		}
		d.set(nil, 0, false)
		sleep(5 * time.Second)
		for name, l := range map[string]*lostBy{"a": a, "b": b, "c": c} {
			if l.times() != 1 {
				t.Errorf("%s has reached it %d times", name, l.times())
			}
		}
	})
}

func TestReconnectionBeginsWithTheConfiguration(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		d, p := newDialer(), newLosing(t)
		p.lose(d, address(0))
		stopped := p.lose(d, address(1))
		sleep(time.Minute)
		if n := len(d.all); n != 0 {
			t.Errorf("%d connections before the start", n)
		}
		stopped.Stop()
		p.start()
		sleep(time.Second)
		if n, of := len(d.to(address(0))), len(d.all); n != 3 || of != 3 {
			t.Errorf("%d connections after the start, of %d", n, of)
		}
	})
}
