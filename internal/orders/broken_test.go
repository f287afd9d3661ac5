package orders

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestStorageThatFailsKeepsTheLastKnownOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s := started(t, f)
		give(t, s, "", "x:80", drain)
		later()
		f.set(func() { f.fails = errBroken })
		later()
		expect(t, s, "x:80 drain")
		if !s.problems.has("") {
			t.Error("the problem is not noted")
		}
		err := try(s, "", "y:80", "", drain)
		if storage := (*StorageError)(nil); !errors.As(err, &storage) || !errors.Is(err, errBroken) {
			t.Errorf("an order: %v", err)
		}
		expect(t, s, "x:80 drain")
		f.set(func() { f.fails = nil })
		later()
		if s.problems.has("") {
			t.Error("the problem has not ended")
		}
		give(t, s, "", "y:80", drain)
		expect(t, s, "x:80 drain, y:80 drain")
	})
}

// Full or read-only: what is there is obeyed, and nothing changes.
func TestStorageThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s := started(t, f)
		give(t, s, "", "x:80", drain)
		f.set(func() { f.full = errBroken })
		for _, edit := range []func(*Order){maint, none} {
			if err := try(s, "", "x:80", "", edit); !errors.Is(err, errBroken) {
				t.Errorf("%v", err)
			}
			expect(t, s, "x:80 drain")
			later()
			expect(t, s, "x:80 drain")
		}
	})
}

func TestSlowStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		one := &Order{Address: "x:80", State: Drain, Given: time.Now()}
		if err := NewStore().newUse(f).mark(t.Context(), []*Order{one}); err != nil {
			t.Fatal(err)
		}
		f.set(func() { f.takes = 3 * time.Second })
		began := time.Now()
		s := started(t, f)
		if took := time.Since(began); took > priming {
			t.Errorf("the start took %v", took)
		}
		expect(t, s, "")
		time.Sleep(10 * time.Second)
		expect(t, s, "x:80 drain") // though each reading takes longer than its patience
		if err := try(s, "", "x:80", "", maint); err == nil || !strings.Contains(err.Error(), "slow") {
			t.Errorf("an order: %v", err)
		}
		f.set(func() { f.takes = 0 })
		time.Sleep(20 * time.Second)
		give(t, s, "", "x:80", maint)
		expect(t, s, "x:80 maintenance")
	})
}

// A storage that never answers holds up neither starts, nor orders, nor stops for longer
// than their patience, nor the storage of a later configuration.
func TestHungStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, goOn := newFake(), make(chan struct{})
		f.hangs = goOn
		s := NewStore()
		within := func(d time.Duration, what string, do func()) {
			t.Helper()
			began := time.Now()
			if do(); time.Since(began) > d {
				t.Errorf("%s took %v", what, time.Since(began))
			}
		}
		within(priming, "the start", func() { s.Prime(f) })
		u := s.Attach(f)
		for range 3 {
			within(patience, "an order", func() {
				if err := try(s, "", "x:80", "", drain); err == nil {
					t.Error("an order was taken")
				}
			})
		}
		later()
		if !s.problems.has("") {
			t.Error("the problem is not noted")
		}
		next := s.Attach(newFake())
		s.Detach(u, time.Now().Add(patience))
		later()
		give(t, s, "", "y:80", drain)
		if s.problems.has("") {
			t.Error("the problem has not ended with its storage")
		}
		close(goOn) // late answers are not taken
		later()
		expect(t, s, "y:80 drain")
		goOn = make(chan struct{})
		defer close(goOn)
		f.set(func() { f.hangs = goOn })
		u = s.Attach(f)
		s.Detach(next, time.Now())
		synctest.Wait()
		within(patience, "the stop", func() { s.Detach(u, time.Now().Add(patience)) })
		expect(t, s, "y:80 drain")
	})
}

// What cannot be read stays as it was known, and does not keep others from being read. An
// order for it, or its end, replaces it.
func TestOrdersThatCannotBeRead(t *testing.T) {
	good, _ := json.Marshal(stored{version, &Order{Address: "x:80", State: Maintenance}})
	other, _ := json.Marshal(stored{version, &Order{Address: "other:80", State: Drain}})
	for name, text := range map[string]string{
		"garbage":        "\x00\xff garbage",
		"empty":          "",
		"truncated":      string(good[:len(good)-5]),
		"null":           "null",
		"list":           "[]",
		"no version":     `{"order": {"address": "x:80", "state": "maintenance"}}`,
		"no order":       `{"version": 1}`,
		"newer":          `{"version": 2, "order": {"address": "x:80", "state": "melt"}}`,
		"wrong state":    `{"version": 1, "order": {"address": "x:80", "state": "melt"}}`,
		"wrong weight":   `{"version": 1, "order": {"address": "x:80", "weight": -1}}`,
		"another's":      string(other),
		"large":          string(good) + strings.Repeat(" ", maxBytes),
		"a pool's state": `{"version": 1, "order": {"address": "x:80", "state": "paused"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				s := started(t, f)
				give(t, s, "", "x:80", drain)
				give(t, s, "", "y:80", drain)
				at := given.storageKey(key{"", "x:80"})
				f.set(func() { f.values[at] = []byte(text) })
				later()
				expect(t, s, "x:80 drain, y:80 drain")
				if !s.problems.has(at) {
					t.Error("the problem is not noted")
				}
				fresh := started(t, f)
				expect(t, fresh, "y:80 drain")
				give(t, fresh, "", "x:80", none)
				later()
				expect(t, s, "y:80 drain")
				if _, there := f.values[at]; there || s.problems.has(at) {
					t.Error("it is still there after its end")
				}
			})
		})
	}
}

func TestKeysThatAreNoOrders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s := started(t, f)
		give(t, s, "", "x:80", drain)
		for _, name := range []string{"1234567", "x.json", ".hidden", strings.Repeat("a", 32) + ".json.tmp", "sub/" + strings.Repeat("a", 32) + ".json", "ü\n"} {
			f.set(func() { f.values[given.prefix+"/"+name] = []byte("garbage") })
		}
		later()
		expect(t, s, "x:80 drain")
		if len(s.problems.known) > 0 {
			t.Errorf("problems: %v", s.problems.known)
		}
	})
}

// A storage of a newer version is obeyed as far as it is understood, and not written to.
func TestNewerFormat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		s := started(t, f)
		give(t, s, "", "x:80", drain)
		f.set(func() { f.values[given.formatKey] = []byte(`{"version": 2, "more": true}`) })
		later()
		for _, edit := range []func(*Order){maint, none} {
			if err := try(s, "", "x:80", "", edit); err == nil || !strings.Contains(err.Error(), "newer than 1") {
				t.Errorf("%v", err)
			}
		}
		expect(t, s, "x:80 drain")
	})
}

// A storage that has lost everything gets the known orders again, at once or with the
// next order, so that no other order ends and a restart keeps them.
func TestLostStorage(t *testing.T) {
	for _, name := range []string{"at once", "with the next order", "in part", "when it takes them"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				s, other := started(t, f), started(t, f)
				give(t, s, "", "x:80", drain)
				give(t, s, "", "y:80", maint)
				later()
				f.set(func() {
					for at := range f.values {
						if name != "in part" || at != given.storageKey(key{"", "y:80"}) {
							delete(f.values, at)
						}
					}
				})
				want := "x:80 drain, y:80 maintenance"
				switch name {
				case "with the next order":
					give(t, s, "", "z:80", drain)
					want += ", z:80 drain"
				case "when it takes them":
					stored := 0
					f.set(func() {
						f.during = func(op, at string) {
							if op == "store" {
								stored++
								f.set(func() {
									if f.full = nil; stored%2 == 0 && stored < 20 {
										f.full = errBroken
									}
								})
							}
						}
					})
				}
				for range 10 {
					later()
					expect(t, s, want)
					expect(t, other, want)
				}
				fresh := started(t, f)
				expect(t, fresh, want)
			})
		})
	}
}
