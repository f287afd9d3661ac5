package pool

import (
	"slices"
	"testing"

	"go.uber.org/zap"
)

// twins returns pools of one configuration that have no names of their own, with the memories
// of the pools before, which may be nil.
func twins(names *poolNames, before []*Pool, options ...string) (all []*Pool) {
	for i, o := range options {
		p := &Pool{policy: "random", options: &Options{Name: o}, memory: new(memory)}
		if i < len(before) && before[i] != nil {
			p.memory = before[i].memory
		}
		p.baseLogger = zap.NewNop()
		p.call(naming{name: "random@a", base: "random@a"})
		names.waiting = append(names.waiting, p)
		all = append(all, p)
	}
	return all
}

func namesOfPools(all []*Pool) (names []string) {
	for _, p := range all {
		p.memory.name.Store(p.naming.Load())
		names = append(names, p.Name())
	}
	return names
}

// Pools that are alike are numbered by their configuration, whichever is provisioned first;
// one that served before keeps its name, whatever joins it.
func TestNamesOfPoolsThatAreAlike(t *testing.T) {
	settled := func(all []*Pool, names *poolNames) []string {
		names.settle()
		return namesOfPools(all)
	}
	first, second := &poolNames{taken: make(map[string]bool)}, &poolNames{taken: make(map[string]bool)}
	a := settled(twins(first, nil, "x", "y"), first)
	b := settled(twins(second, nil, "y", "x"), second)
	slices.Reverse(b)
	if !slices.Equal(a, b) {
		t.Errorf("named %v, and in another order of provision %v", a, b)
	}

	alone, joined := &poolNames{taken: make(map[string]bool)}, &poolNames{taken: make(map[string]bool)}
	served := twins(alone, nil, "y")
	if got := settled(served, alone); !slices.Equal(got, []string{"random@a"}) || served[0].Shared() {
		t.Errorf("alone: %v", got)
	}
	after := twins(joined, []*Pool{nil, served[0], nil}, "x", "y", "z")
	if got := settled(after, joined); got[1] != "random@a" || got[0] == got[2] || !after[1].Shared() {
		t.Errorf("%v: the one that served is called otherwise", got)
	}
}
