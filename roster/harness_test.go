package roster

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-evenkeel/evenkeel/internal/app"
	"github.com/caddy-evenkeel/evenkeel/internal/orders"
)

// instance is a Caddy whose one roster a test changes.
type instance struct {
	t *testing.T
	*Roster
	app     *app.App
	store   *orders.Store
	storage certmagic.Storage

	inFlight atomic.Int32 // to any member
	told     atomic.Int32 // changes
}

// newInstance starts an instance that has the members, and knows nothing of others.
func newInstance(t *testing.T, storage certmagic.Storage, members ...Member) *instance {
	t.Helper()
	i := &instance{t: t, store: orders.NewStoreOf("rosters", validate), storage: storage}
	i.load(members...)
	t.Cleanup(func() { i.stop() })
	return i
}

// load starts a configuration, and ends the one before.
func (i *instance) load(members ...Member) {
	i.t.Helper()
	roster, running := i.Roster, i.app
	a := new(app.App)
	kept := changes
	changes = i.store
	r, err := join(a, i.storage, "test", members)
	changes = kept
	if err != nil {
		i.t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		i.t.Fatal(err)
	}
	r.follow(&follower{func() { i.told.Add(1) }, func(string) int { return int(i.inFlight.Load()) }})
	i.Roster, i.app = r, a
	if roster != nil {
		running.Stop()
		roster.leave()
	}
}

func (i *instance) stop() {
	if i.Roster != nil {
		i.app.Stop()
		i.leave()
		i.Roster = nil
	}
}

// expect expects the roster to have the members; those with a minus before them drain.
func (i *instance) expect(when string, want ...string) {
	i.t.Helper()
	var got []string
	for _, e := range i.list.Load().entries {
		if e.draining {
			got = append(got, "-"+e.address)
		} else {
			got = append(got, e.address)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		i.t.Errorf("%s: members %s, want %s", when, strings.Join(got, " "), strings.Join(want, " "))
	}
}

// must fails the test if the error is one.
func (i *instance) must(err error) {
	i.t.Helper()
	if err != nil {
		i.t.Fatal(err)
	}
}

func (i *instance) add(address string, weight ...int) {
	i.t.Helper()
	var w *int
	if len(weight) > 0 {
		w = &weight[0]
	}
	_, err := i.Add(context.Background(), address, "", w)
	i.must(err)
}

func (i *instance) remove(address string) {
	i.t.Helper()
	i.must(i.Remove(context.Background(), address, ""))
}

func of(addresses ...string) (all []Member) {
	for _, a := range addresses {
		all = append(all, Member{Dial: a})
	}
	return all
}
