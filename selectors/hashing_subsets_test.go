package selectors

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// subset returns some of a hundred upstreams, as a name server does that has more
// addresses than fit its answer.
func subset(chance *rand.Rand, n int) []*reverseproxy.Upstream {
	return pooltest.Upstreams(chance.Perm(100)[:n]...)
}

// kept returns how many of the tables are there.
func (r *recent) kept() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.of {
		if m.built.Load() != nil {
			n++
		}
	}
	return n
}

// A dynamic source that returns another few of its members each time has a list for
// each, of whose tables the latest are kept; keys of others are where they were.
func TestTablesOfManySubsetsAreBounded(t *testing.T) {
	const lists, keys = 3 * maxUnits, 5
	pooltest.Isolate()
	h := pooltest.LoadHandler(t, object{
		"load_balancing":    object{"selection_policy": object{"policy": "maglev", "key": "{http.request.header.X-User}"}},
		"dynamic_upstreams": object{"source": "a", "name": "pool.test", "port": "80"},
	})
	p := h.LoadBalancing.SelectionPolicy.(*Maglev)
	where := func() (places []string) {
		chance := rand.New(rand.NewPCG(1, 2))
		for range lists {
			list := subset(chance, 8)
			for k := range keys {
				places = append(places, pooltest.Pick(h, list, pooltest.ServerRequest("/", "X-User", strconv.Itoa(k))))
			}
		}
		return places
	}
	before := where()
	if got := p.recent.kept(); got != maxUnits {
		t.Errorf("%d tables are kept, want %d", got, maxUnits)
	}
	for i, place := range where() {
		if place != before[i] {
			t.Fatalf("list %d, key %d: at %s, then at %s", i/keys, i%keys, before[i], place)
		}
	}
	if got := p.recent.kept(); got != maxUnits || len(p.recent.of) != maxUnits {
		t.Errorf("%d tables are kept, in a list of %d", got, len(p.recent.of))
	}
}
