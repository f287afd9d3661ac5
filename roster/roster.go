package roster

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/app"
	"github.com/caddy-evenkeel/evenkeel/internal/orders"
)

// Roster is a set of upstreams with a name, in one configuration. The handlers of that
// which give the name share it.
type Roster struct {
	name       string
	store      *orders.Store        // of the changes
	generation uint64               // of the configuration
	list       atomic.Pointer[list] // its members

	mu           sync.Mutex // guards all below
	configured   []Member
	users        int // sources
	draining     map[string]*drain
	followers    map[*follower]struct{}
	subscription *orders.Subscription
	timer        *time.Timer // of the next look for members that have drained; nil for none
}

// follower is a pool whose upstreams are the roster's members.
type follower struct {
	changed  func()
	inFlight func(address string) int
}

// ofConfig is the rosters of one configuration.
type ofConfig struct {
	mu     sync.Mutex // guards all below
	byName map[string]*Roster
	began  bool
}

// join returns the configuration's roster with the name, which has the members. A handler
// that gives no members takes those of others.
func join(a *app.App, storage certmagic.Storage, name string, members []Member) (*Roster, error) {
	all := app.Shared(a, func() *ofConfig { return &ofConfig{byName: make(map[string]*Roster)} })
	all.mu.Lock()
	defer all.mu.Unlock()
	if !all.began {
		all.began = true
		store := changes
		store.Prime(storage)
		var use *orders.Use
		a.AtStart(func() { use = store.Attach(storage) })
		a.AtStop(func() { store.Detach(use, a.CloseBy()) })
	}
	r := all.byName[name]
	if r == nil {
		r = &Roster{name: name, store: changes, generation: a.Generation(), draining: make(map[string]*drain), followers: make(map[*follower]struct{})}
		all.byName[name] = r
		a.AtStart(func() { r.run() })
		a.AtStop(func() { r.stop() })
	}
	r.mu.Lock()
	if len(members) > 0 && len(r.configured) > 0 && !slices.EqualFunc(members, r.configured, Member.same) {
		r.mu.Unlock()
		return nil, fmt.Errorf("roster '%s': another handler gives it other members; give it the same ones, none, or another name", name)
	}
	if len(members) > 0 {
		r.configured = members
	}
	if r.users++; r.subscription == nil {
		r.subscription = r.store.Subscribe(r.changed)
	}
	r.build()
	r.mu.Unlock()
	return r, nil
}

// same reports whether the members are the same.
func (m Member) same(other Member) bool {
	return m.Dial == other.Dial && (m.Weight == nil) == (other.Weight == nil) && (m.Weight == nil || *m.Weight == *other.Weight)
}

// leave ends what join has begun, for one source. The list stays as it is.
func (r *Roster) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users--; r.users > 0 {
		return
	}
	r.subscription.End()
	if r.timer != nil {
		r.timer.Stop()
	}
	r.timer, r.draining = nil, nil
}

// changed takes in what has changed in the storage.
func (r *Roster) changed() {
	r.mu.Lock()
	changed := r.users > 0 && r.build()
	followers := slices.Collect(maps.Keys(r.followers))
	r.mu.Unlock()
	if changed {
		for _, f := range followers {
			f.changed()
		}
	}
}

// follow adds a follower; end removes it.
func (r *Roster) follow(f *follower) (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.followers[f] = struct{}{}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.followers, f)
	}
}

// running are the rosters of configurations that have started, until they stop.
var running struct {
	mu  sync.Mutex // guards all
	all map[*Roster]struct{}
}

func (r *Roster) run() {
	running.mu.Lock()
	if running.all == nil {
		running.all = make(map[*Roster]struct{})
	}
	running.all[r] = struct{}{}
	running.mu.Unlock()
	overridden := 0
	for _, e := range r.list.Load().entries {
		if e.change != nil {
			overridden++
		}
	}
	r.mu.Lock()
	for _, m := range r.configured {
		if r.list.Load().get(m.Dial) == nil {
			overridden++
		}
	}
	r.mu.Unlock()
	if overridden > 0 {
		logger().Info("changes by operators go before what the configuration says of the roster",
			zap.String("roster", r.name), zap.Int("members", overridden))
	}
}

func (r *Roster) stop() {
	running.mu.Lock()
	defer running.mu.Unlock()
	delete(running.all, r)
}

func logger() *zap.Logger { return caddy.Log().Named("load_balancer.rosters") }
