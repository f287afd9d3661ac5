package selectors

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// memory returns a table of sessions by the cookies of these names.
func memory(_ testing.TB, age time.Duration, names ...string) *learned { return newLearned(names, age) }

// count returns how many sessions are known.
func count(t interface{ Errorf(string, ...any) }, l *learned) (known int) {
	for i := range l.shards {
		s := &l.shards[i]
		if known += len(s.sessions); len(s.sessions) != s.recent[0].Len()+s.recent[1].Len() {
			t.Errorf("%d sessions, %d in their order", len(s.sessions), s.recent[0].Len()+s.recent[1].Len())
		}
	}
	return known
}

// naive is what a table of sessions is to do, without bounds on their number.
type naive map[string]*naiveSession

type naiveSession struct {
	homes []string // the latest first
	sure  int      // so many of them; the rest were too old, and may have been forgotten
	used  time.Time
}

func (s *naiveSession) old(age time.Duration) bool { return time.Since(s.used) > age }

func (n naive) bind(sid, home string, age time.Duration) {
	s := n[sid]
	if s == nil {
		s = new(naiveSession)
		n[sid] = s
	}
	if s.old(age) {
		s.sure = 0
	}
	if i := slices.Index(s.homes, home); i < 0 || i >= s.sure {
		s.sure++
	}
	s.homes = slices.Insert(slices.DeleteFunc(s.homes, func(h string) bool { return h == home }), 0, home)
	s.homes = s.homes[:min(len(s.homes), maxHomes)]
	s.sure = min(s.sure, maxHomes)
	s.used = time.Now()
}

// find returns where the session is; sure is false if it may also be nowhere.
func (n naive) find(sid string, age time.Duration, members map[string]int) (member int, found, sure bool) {
	s := n[sid]
	if s == nil || s.old(age) {
		delete(n, sid)
		return 0, false, true
	}
	s.used = time.Now()
	for i, home := range s.homes {
		if member, ok := members[home]; ok {
			return member, true, i < s.sure
		}
	}
	return 0, false, true
}

// pass lets time pass, for the table and for the model.
func pass(l *learned, model naive, d time.Duration) {
	for _, s := range model {
		s.used = s.used.Add(-d)
	}
	for i := range l.shards {
		for _, e := range l.shards[i].sessions {
			s := e.Value.(*remembered)
			s.used = s.used.Add(-d)
		}
	}
}

func TestLearnedIsAsTheNaiveModel(t *testing.T) {
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		const age = time.Minute
		runs++
		l, model := newLearned([]string{fmt.Sprint("C", runs)}, age), naive{}
		sids := rapid.SampledFrom([]string{"a", "b"})
		homes := rapid.SampledFrom([]string{"1", "2", "3", "4", "5", "6"})
		cookie := func(sid string) []string { return []string{"x=y; " + l.names[0] + "=" + sid} }
		t.Repeat(map[string]func(*rapid.T){
			"sets or accepts": func(t *rapid.T) {
				sid, home := sids.Draw(t, "sid"), homes.Draw(t, "home")
				if rapid.Bool().Draw(t, "sets") {
					l.learn(nil, home, http.Header{"Set-Cookie": {l.names[0] + "=" + sid}})
				} else {
					l.learn(cookie(sid), home, nil)
				}
				model.bind(sid, home, age)
			},
			"ends": func(t *rapid.T) {
				sid := sids.Draw(t, "sid")
				l.learn(cookie(sid), homes.Draw(t, "home"), http.Header{"Set-Cookie": {l.names[0] + "=; Max-Age=0"}})
				delete(model, sid)
			},
			"asks": func(t *rapid.T) {
				sid, places := sids.Draw(t, "sid"), make(map[string]int)
				for place, home := range rapid.SliceOfDistinct(homes, rapid.ID[string]).Draw(t, "homes") {
					places[home] = place
				}
				got, ok := l.find(cookie(sid), places)
				want, found, sure := model.find(sid, age, places)
				if (got != want || ok != found) && (ok || sure) {
					t.Fatalf("%s among %v: %d, %t, want %d, %t", sid, places, got, ok, want, found)
				}
			},
			"passes time": func(t *rapid.T) {
				pass(l, model, 7*time.Second*time.Duration(rapid.IntRange(0, 10).Draw(t, "times seven seconds")))
			},
			"": func(t *rapid.T) {
				if known := count(t, l); known > 2 {
					t.Fatalf("%d sessions", known)
				}
			},
		})
	})
}

func TestLearnedSessionsAreBoundedInNumber(t *testing.T) {
	const many = 3 * maxSessions
	l := memory(t, 0, "BOUNDED")
	places := map[string]int{"a": 0}
	known := func(i int) bool {
		_, ok := l.find([]string{fmt.Sprint("BOUNDED=", i)}, places)
		return ok
	}
	for i := range many {
		l.learn([]string{fmt.Sprint("BOUNDED=", i)}, "a", nil)
		if i%1000 == 0 && !known(0) {
			t.Fatalf("it is used all the time, and forgotten after %d others", i)
		}
	}
	if total := count(t, l); total > maxSessions || total < maxSessions*9/10 {
		t.Errorf("%d sessions", total)
	}
	for i := many - maxSessions/2; i < many; i++ {
		if !known(i) {
			t.Fatalf("number %d of %d is forgotten", i, many)
		}
	}
	if known(1) {
		t.Error("who was not used for longest is there")
	}
}

// Who sends cookies of random values pushes out none that an upstream has set.
func TestMadeUpSessionsPushOutNoOthers(t *testing.T) {
	l := memory(t, 0, "MADE")
	places := map[string]int{"a": 0}
	for i := range 1000 {
		l.learn(nil, "a", http.Header{"Set-Cookie": {fmt.Sprint("MADE=", i)}})
	}
	for i := range 2 * maxSessions {
		l.learn([]string{fmt.Sprint("MADE=up", i)}, "a", nil)
	}
	for i := range 1000 {
		if _, ok := l.find([]string{fmt.Sprint("MADE=", i)}, places); !ok {
			t.Fatalf("number %d is forgotten", i)
		}
	}
}

// Two sites whose applications have cookies of the same name keep them for
// different times.
func TestLearnedSessionsLiveAsLongAsTheirPolicySays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		long, short := memory(t, 12*time.Hour, "LIVES"), memory(t, time.Minute, "LIVES")
		places := map[string]int{"a": 0}
		for i := range 1000 {
			long.learn([]string{fmt.Sprint("LIVES=", i)}, "a", nil)
		}
		time.Sleep(2 * time.Minute)
		for i := range 1000 {
			short.learn([]string{fmt.Sprint("LIVES=short", i)}, "a", nil)
		}
		for i := range 1000 {
			if _, ok := long.find([]string{fmt.Sprint("LIVES=", i)}, places); !ok {
				t.Fatalf("number %d is forgotten", i)
			}
		}
	})
}

// Those that nobody uses any more go as others come.
func TestLearnedSessionsAreBoundedInAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memory(t, time.Minute, "AGE")
		for i := range 10_000 {
			l.learn([]string{fmt.Sprint("AGE=", i)}, "a", nil)
		}
		time.Sleep(2 * time.Minute)
		for i := range 12_000 {
			l.learn([]string{fmt.Sprint("AGE=new", i)}, "a", nil)
		}
		if total := count(t, l); total != 12_000 {
			t.Errorf("%d sessions", total)
		}
	})
}

func TestHomesOfALearnedSessionAreBounded(t *testing.T) {
	l := memory(t, 0, "HOMES")
	for place := range maxHomes + 1 {
		l.learn([]string{"HOMES=1"}, fmt.Sprint(place), nil)
	}
	for place := range maxHomes + 1 {
		_, ok := l.find([]string{"HOMES=1"}, map[string]int{fmt.Sprint(place): 0})
		if ok != (place > 0) {
			t.Errorf("number %d is known: %t", place, ok)
		}
	}
}

func TestLearningConcurrently(t *testing.T) {
	l := memory(t, time.Hour, "RACE")
	places := map[string]int{"a": 0, "b": 1, "c": 2}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5000 {
				cookies := []string{fmt.Sprint("RACE=", rand.IntN(200))}
				switch rand.IntN(3) {
				case 0:
					l.learn(cookies, []string{"a", "b", "c"}[rand.IntN(3)], nil)
				case 1:
					l.learn(cookies, "a", http.Header{"Set-Cookie": {"RACE=; Max-Age=0"}})
				case 2:
					l.find(cookies, places)
				}
			}
		})
	}
	wg.Wait()
}
