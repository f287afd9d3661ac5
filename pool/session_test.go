package pool

import (
	"fmt"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// homely is a picker all of whose requests are of one session. It notes what it is
// asked.
type homely struct {
	inOrder
	session Session
	lists   [][]string // that it was to find sessions among
	picked  int
	settled []int
}

// sessionsOf finds sessions among some upstreams.
type sessionsOf struct {
	*homely
	addresses []string
}

func (h *homely) sessions(addresses []string) Sessions {
	h.lists = append(h.lists, addresses)
	return sessionsOf{h, addresses}
}

func (s sessionsOf) Find(*Query) Session {
	if len(s.addresses) == 0 {
		return Session{Member: None}
	}
	return s.session
}

func (h *homely) Pick(q *Query) int {
	h.picked++
	return h.inOrder.Pick(q)
}

func (s sessionsOf) Settle(_ *Query, _ Session, member int) {
	s.homely.settled = append(s.homely.settled, member)
}

// newHome starts a pool of n upstreams that a homely picker picks from.
func newHome(t *testing.T, o Options, n int) (*testPool, *homely) {
	t.Helper()
	b, p := newPool(t, o, n), new(homely)
	b.use(p, Features{Sessions: p.sessions})
	return b, p
}

// address returns that of the i-th upstream.
func address(i int) string { return host(network, i) + ":80" }

// often is how often the picker is asked where that does not matter.
const often = -1

// expect compares what is picked for the session, how often the picker was asked,
// and what it was told.
func (h *homely) expect(t *testing.T, b *testPool, when string, s Session, want, asked, settled int) {
	t.Helper()
	h.session, h.picked, h.settled = s, 0, nil
	u := b.handle.Select(b.statics, get(), nil)
	got := None
	if u != nil {
		got = slices.Index(b.statics, u)
	}
	if got != want || asked != often && h.picked != asked || !slices.Equal(h.settled, []int{settled}) {
		t.Errorf("%s: picked %d, asked %d times, settled on %v; want %d, %d, %d", when, got, h.picked, h.settled, want, asked, settled)
	}
}

func TestSessionIsMetWithoutAsking(t *testing.T) {
	b, p := newHome(t, Options{Retries: ptr(0)}, 3)
	for i := range 3 {
		p.expect(t, b, "of the session", Session{Member: i}, i, 0, i)
		p.expect(t, b, "of the strict session", Session{Member: i, Strict: true}, i, 0, i)
	}
	p.expect(t, b, "of no session", Session{Member: None}, 0, 1, 0)
	p.expect(t, b, "of no strict session", Session{Member: None, Strict: true}, 0, 1, 0)
}

// Members are those of the list, whatever tiers are made of it.
func TestSessionsMembersAreThoseOfTheList(t *testing.T) {
	network++ // as newHome does, whose addresses these are
	options := Options{
		Weights:    map[string]int{address(0): 0, address(2): 5},
		Priorities: map[string]int{address(1): 1, address(3): 2},
	}
	network--
	b, p := newHome(t, options, 4)
	for i := range 4 {
		p.expect(t, b, "of the session", Session{Member: i}, i, 0, i)
	}
	p.expect(t, b, "of no session", Session{Member: None}, 2, 1, 2)
	full := b.statics[2]
	full.MaxRequests = 1
	busy(full, 1)
	p.expect(t, b, "of no session, and the first level is full", Session{Member: None}, 1, 2, 1)
	p.expect(t, b, "of one that is full", Session{Member: 2}, 1, 2, 1)
	p.expect(t, b, "of one that is full, strict", Session{Member: 2, Strict: true}, None, 0, None)
	for _, u := range b.statics {
		u.MaxRequests = 1
		busy(u, 1)
	}
	p.expect(t, b, "all are full", Session{Member: 0}, None, often, None)
}

// An address may be there twice: Caddy counts both as one, and a session may be with
// either.
func TestSessionOfAnAddressThatIsThereTwice(t *testing.T) {
	b, p := newHome(t, Options{}, 2)
	twin := &reverseproxy.Upstream{Dial: b.statics[0].Dial, Host: b.statics[0].Host}
	p.session = Session{Member: 1}
	for range 3 {
		dynamic := []*reverseproxy.Upstream{twin, b.statics[1], twin}
		if u := b.handle.Select(dynamic, get(), nil); u != b.statics[1] {
			t.Fatalf("picked %v", u)
		}
	}
	p.session = Session{Member: 0}
	if u := b.handle.Select([]*reverseproxy.Upstream{twin, twin}, get(), nil); u != twin {
		t.Errorf("picked %v", u)
	}
}

// What is made of a list stays while the list does, whatever becomes of its
// members, and in whatever order a source returns them.
func TestSessionsAreOfAList(t *testing.T) {
	b, p := newHome(t, Options{}, 3)
	want := []string{fmt.Sprint([]string{address(0), address(1), address(2)})}
	expect := func(when string) {
		t.Helper()
		var got []string
		for _, addresses := range p.lists {
			got = append(got, fmt.Sprint(addresses))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	expect("at first")
	for range 3 {
		b.changed()
		b.builds.Wait()
	}
	expect("built again")
	dynamic := []*reverseproxy.Upstream{b.statics[2], b.statics[0]}
	for range 4 {
		b.handle.Select(dynamic, get(), nil)
		slices.Reverse(dynamic)
	}
	want = append(want, fmt.Sprint([]string{address(2), address(0)}))
	expect("of a source")
	p.session = Session{Member: 1}
	if u := b.handle.Select(dynamic, get(), nil); u != b.statics[0] {
		t.Errorf("picked %v", u)
	}
}

// A tier by itself is what a policy gets that is inside one of Caddy's inside one of
// ours: sessions meet nobody else.
func TestSessionAmongATierAlone(t *testing.T) {
	network++
	options := Options{Priorities: map[string]int{address(1): 1, address(2): 1}}
	network--
	b, p := newHome(t, options, 3)
	tier := b.static.snapshot.Load().tiers[1].upstreams
	for member, want := range map[int]*reverseproxy.Upstream{0: b.statics[1], 1: b.statics[1], 2: b.statics[2]} {
		p.session, p.settled = Session{Member: member}, nil
		u := b.handle.Select(tier, get(), nil)
		if u != want || !slices.Equal(p.settled, []int{slices.Index(b.statics, want)}) {
			t.Errorf("session %d: picked %v, settled on %v", member, u, p.settled)
		}
	}
}

// A picker without sessions is none the wiser, and pays nothing for them.
func TestPoolWithoutSessions(t *testing.T) {
	b := newPool(t, Options{}, 2)
	s := b.static.snapshot.Load()
	if s.sessions != nil || s.members != nil || s.open != nil || b.static.sessions != nil {
		t.Errorf("%+v", s)
	}
}
