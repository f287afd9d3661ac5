package roster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/caddy-evenkeel/evenkeel/internal/app"
)

func storageIn(t *testing.T) *certmagic.FileStorage { return &certmagic.FileStorage{Path: t.TempDir()} }

func TestRemovedMemberGoesOnceNothingIsInFlight(t *testing.T) {
	storage := storageIn(t)
	synctest.Test(t, func(t *testing.T) {
		i := newInstance(t, storage, of("a:80", "b:80")...)
		defer i.stop()
		i.inFlight.Store(1)
		i.remove("a:80")
		i.expect("removed", "b:80", "-a:80")
		if told := i.told.Load(); told != 1 {
			t.Errorf("told %d times of one change", told)
		}
		if err := i.Remove(context.Background(), "a:80", ""); !errors.Is(err, ErrUnknown) {
			t.Error("removed twice:", err)
		}
		time.Sleep(longestDrain / 2)
		i.expect("in flight", "b:80", "-a:80")
		i.inFlight.Store(0)
		time.Sleep(2 * lookEvery)
		i.expect("nothing in flight", "b:80")

		i.add("a:80")
		i.expect("added again", "a:80", "b:80")
		i.inFlight.Store(1)
		i.remove("a:80")
		i.add("a:80")
		i.expect("added while it drains", "a:80", "b:80")
		i.remove("a:80")
		time.Sleep(longestDrain + 2*lookEvery)
		i.expect("in flight for too long", "b:80")
	})
}

// An attempt may be about to begin: a look at others does not let a member go that was
// removed just before.
func TestRemovedMemberStaysForAMoment(t *testing.T) {
	storage := storageIn(t)
	synctest.Test(t, func(t *testing.T) {
		i := newInstance(t, storage, of("a:80", "b:80", "c:80")...)
		defer i.stop()
		i.remove("a:80")
		time.Sleep(lookEvery - time.Millisecond)
		i.remove("b:80")
		time.Sleep(2 * time.Millisecond)
		i.expect("looked once", "c:80", "-b:80")
		time.Sleep(lookEvery)
		i.expect("looked twice", "c:80")
	})
}

func TestChangesGoBeforeTheConfigurationAndOutliveIt(t *testing.T) {
	storage := storageIn(t)
	synctest.Test(t, func(t *testing.T) {
		i := newInstance(t, storage, of("a:80", "b:80", "c:80")...)
		i.add("x:80", 3)
		i.remove("a:80")
		five := 5
		i.must(i.Weigh(context.Background(), "b:80", "", &five))
		time.Sleep(time.Second)
		i.expect("changed", "b:80", "c:80", "x:80")

		i.load(of("a:80", "d:80")...)
		time.Sleep(time.Second)
		i.expect("reloaded: b and c are dropped, d is new", "d:80", "x:80")
		i.add("a:80")
		i.expect("a is as configured again", "a:80", "d:80", "x:80")
		if n := len(i.store.List()); n != 2 {
			t.Errorf("%d changes are stored, want that of x and that of b", n)
		}
		i.load(of("d:80")...)
		time.Sleep(time.Second)
		i.expect("it was configured, not added", "d:80", "x:80")
		i.stop()

		again := newInstance(t, storage, of("b:80", "d:80")...)
		defer again.stop()
		again.expect("restarted", "b:80", "d:80", "x:80")
		for address, want := range map[string]int{"b:80": 5, "x:80": 3} {
			if w := again.list.Load().get(address).effect.Weight; w == nil || *w != want {
				t.Errorf("weight of %s: %v, want %d", address, w, want)
			}
		}
		again.remove("x:80")
		time.Sleep(longestDrain + 2*time.Hour)
		again.expect("x is gone", "b:80", "d:80")
		if n := len(again.store.List()); n != 1 {
			t.Errorf("%d changes are stored, want that of b", n)
		}
		if keys, err := storage.List(context.Background(), "load_balancer/rosters", false); len(keys) != 1 {
			t.Errorf("the storage has %v %v, want that of b", keys, err)
		}
	})
}

func TestInstancesThatShareTheStorage(t *testing.T) {
	storage := storageIn(t)
	synctest.Test(t, func(t *testing.T) {
		one, two := newInstance(t, storage, of("a:80")...), newInstance(t, storage, of("a:80")...)
		defer one.stop()
		defer two.stop()
		one.add("b:80", 2)
		two.add("c:80")
		two.inFlight.Store(1)
		time.Sleep(5 * time.Second)
		for _, i := range []*instance{one, two} {
			i.expect("both added", "a:80", "b:80", "c:80")
		}
		one.remove("a:80")
		one.remove("b:80")
		time.Sleep(5 * time.Second)
		one.expect("removed by one", "c:80")
		two.expect("in flight at the other one", "c:80", "-a:80", "-b:80")
	})
}

func TestWhatTheStorageHasIsBad(t *testing.T) {
	storage := storageIn(t)
	synctest.Test(t, func(t *testing.T) {
		i := newInstance(t, storage, of("a:80")...)
		defer i.stop()
		i.add("b:80")
		i.add("c:80")
		time.Sleep(5500 * time.Millisecond) // from here on, nothing is read at the time of a change
		files, err := filepath.Glob(filepath.Join(storage.Path, "load_balancer/rosters/*"))
		if err != nil || len(files) != 2 {
			t.Fatal(files, err)
		}
		for n, text := range []string{`garbage`, `{"version": 99, "order": {}}`} {
			if err := os.WriteFile(files[n], []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for name, text := range map[string]string{
			"of_no_roster": `{"version": 1, "order": {"address": "x:80", "state": "member"}}`,
			"other_state":  `{"version": 1, "order": {"pool": "test", "address": "x:80", "state": "drain"}}`,
			"bad_address":  `{"version": 1, "order": {"pool": "test", "address": "x:80-90", "state": "member"}}`,
			"other_key":    `{"version": 1, "order": {"pool": "test", "address": "x:80", "state": "member"}}`,
		} {
			if err := os.WriteFile(filepath.Join(storage.Path, "load_balancer/rosters", name+".json"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		i.expect("last known", "a:80", "b:80", "c:80")
		if err := os.RemoveAll(filepath.Join(storage.Path, "load_balancer")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		i.expect("the storage has lost all", "a:80", "b:80", "c:80")
	})
}

func TestChangeOfARosterThatHasChangedIsAConflict(t *testing.T) {
	i := newInstance(t, storageIn(t), of("a:80")...)
	tag := i.Tag()
	i.add("b:80")
	if _, err := i.Add(context.Background(), "c:80", tag, nil); !errors.Is(err, ErrConflict) {
		t.Error(err)
	}
	if err := i.Remove(context.Background(), "b:80", i.Tag()); err != nil {
		t.Error(err)
	}
	if i.Tag() != tag {
		t.Error("the same members have another tag")
	}
	r, unchanged := i.Roster, (*Unchanged)(nil)
	i.stop()
	if err := r.Remove(context.Background(), "a:80", ""); !errors.As(err, &unchanged) {
		t.Error("removed without a storage:", err)
	}
}

func TestHandlersOfOneRosterGiveTheSameMembersOrNone(t *testing.T) {
	kept := changes
	defer func() { changes = kept }()
	one, two, same := 1, 2, 1
	for _, test := range []struct {
		first, second []Member
		want          string
	}{
		{of("a:80"), of("a:80"), "a:80"},
		{of("a:80"), nil, "a:80"},
		{nil, of("a:80"), "a:80"},
		{[]Member{{"a:80", &one}}, []Member{{"a:80", &same}}, "a:80"},
		{of("a:80"), of("b:80"), "error"},
		{of("a:80", "b:80"), of("b:80", "a:80"), "error"},
		{of("a:80"), []Member{{"a:80", &one}}, "error"},
		{[]Member{{"a:80", &one}}, []Member{{"a:80", &two}}, "error"},
	} {
		a := new(app.App)
		r, err := join(a, storageIn(t), "shared", test.first)
		if err != nil {
			t.Fatal(err)
		}
		again, err := join(a, storageIn(t), "shared", test.second)
		got := "error"
		if err == nil {
			got = again.list.Load().entries[0].address
			again.leave()
			if again != r {
				t.Error("there are two rosters")
			}
		} else if !strings.Contains(err.Error(), "roster 'shared': another handler gives it other members") {
			t.Error(err)
		}
		if got != test.want {
			t.Errorf("%v and %v: %s, want %s", test.first, test.second, got, test.want)
		}
		r.leave()
	}
}
