package pool

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
)

// told is a source that a pool follows. A test changes it while no other goroutine runs.
type told struct {
	addresses []string
	weights   map[string]int
	effects   map[string]orders.Effect
	changed   func()
	inFlight  func(string) int
}

func (s *told) GetUpstreams(*http.Request) ([]*reverseproxy.Upstream, error) {
	return returns(s.addresses...), nil
}

func (s *told) ConfiguredWeight(address string) (weight int, ok bool) {
	weight, ok = s.weights[address]
	return weight, ok
}

func (s *told) Ordered(address string) orders.Effect { return s.effects[address] }

func (s *told) Follow(changed func(), inFlight func(string) int) (end func()) {
	s.changed, s.inFlight = changed, inFlight
	return func() { s.changed = nil }
}

// set sets what the source returns, and tells the pool.
func (s *told) set(addresses ...string) {
	s.addresses = addresses
	s.changed()
	synctest.Wait()
}

// follows starts a pool without upstreams of its own, which follows the source.
func follows(t *testing.T, o Options, s *told) *testPool {
	b := newPool(t, o, 0)
	b.source.followed.handler = &reverseproxy.Handler{DynamicUpstreams: s}
	b.meetSource()
	synctest.Wait()
	return b
}

// latestWeights returns the addresses and weights of the latest membership.
func (b *testPool) latestWeights() map[string]float64 {
	all := make(map[string]float64)
	for _, m := range b.dynamic.latest.Load().members {
		all[m.address] = b.stateOf(m, 1).weight
	}
	return all
}

func (b *testPool) seen() (addresses []string) {
	for _, u := range b.View().Upstreams {
		addresses = append(addresses, u.Address)
	}
	slices.Sort(addresses)
	return addresses
}

func TestPoolFollowsItsSourceWithoutRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		three, zero := 3, 0
		s := &told{addresses: []string{"a:80", "b:80", "c:80"}, weights: map[string]int{"a:80": 2}}
		options := Options{Weights: map[string]int{"a:80": 9, "b:80": 7}}
		b := follows(t, options, s)
		expect := func(when string, want ...float64) {
			t.Helper()
			got := b.latestWeights()
			for i, address := range s.addresses {
				if len(got) != len(want) || got[address] != want[i] {
					t.Errorf("%s: weights %v, want %v", when, got, want)
					break
				}
			}
			if seen := b.seen(); !slices.Equal(seen, s.addresses) {
				t.Errorf("%s: operators see %v, want %v", when, seen, s.addresses)
			}
		}
		expect("the source's weight goes before the option", 2, 7, 1)
		s.effects = map[string]orders.Effect{
			"a:80": {State: orders.Drain, StateBy: new(orders.Order)},
			"b:80": {Weight: &three, WeightBy: &orders.Order{Weight: &three}},
			"c:80": {Weight: &zero, WeightBy: &orders.Order{Weight: &zero}},
		}
		s.set("a:80", "b:80", "c:80")
		expect("changed", 0, 3, 0)
		for range 10 {
			if u := b.handle.Select(returns("a:80", "b:80", "c:80"), nil, nil); u == nil || u.Dial != "b:80" {
				t.Fatalf("picked %v, want b", u)
			}
		}
		s.set("b:80", "d:80")
		expect("others", 3, 1)
		if refs, _ := b.held(); refs != 2 {
			t.Errorf("%d members are held, want 2", refs)
		}
		// A request may still have an answer of before.
		if b.handle.Select(returns("a:80", "b:80"), nil, nil) == nil {
			t.Error("nothing is picked of the last answer")
		}
		synctest.Wait()
		expect("after a late request", 3, 1)
		if refs, _ := b.held(); refs != 2 {
			t.Errorf("%d members are held, want 2", refs)
		}
		s.set()
		expect("nobody")
		if err := b.handle.Close(); err != nil || s.changed != nil {
			t.Error("a closed pool follows its source", err)
		}
	})
}

func TestSourceIsToldWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &told{addresses: []string{"a:80", "b:80"}}
		b := follows(t, Options{}, s)
		if n := s.inFlight("a:80"); n != 0 {
			t.Errorf("%d in flight", n)
		}
		m, _ := b.dynamic.members.Load("a:80")
		m.(*member).known.counters.begin(1)
		if n := s.inFlight("a:80"); n != 1 {
			t.Errorf("%d in flight, want 1", n)
		}
		if n := s.inFlight("b:80") + s.inFlight("x:80"); n != 0 {
			t.Errorf("%d in flight to others", n)
		}
	})
}

func TestPoolsOfRostersHaveTheirNames(t *testing.T) {
	var s source
	for config, want := range map[string]string{
		`{"source":"roster","name":"app","members":[{"dial":"a:80"}]}`: "dynamic roster app",
		`{"source":"roster","name":"app"}`:                             "dynamic roster app",
		`{"source":"roster"}`:                                          "dynamic roster default",
	} {
		if s.configure([]byte(config)); !slices.Equal(s.names, []string{want}) || "dynamic roster "+s.roster != want {
			t.Errorf("%s: names %q, roster %q", config, s.names, s.roster)
		}
	}
}
