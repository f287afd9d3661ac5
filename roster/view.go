package roster

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

var placeholder = regexp.MustCompile(`\{[^{}\s]+\}`)

// View is a roster as operators see it.
type View struct {
	Name    string       `json:"name"`
	Members []MemberView `json:"members"`

	// Members that the configuration has, but an operator has removed.
	Removed []string `json:"removed,omitempty"`
}

// MemberView is a member of a roster as operators see it.
type MemberView struct {
	Address    string     `json:"address"`
	State      string     `json:"state"`             // serving; or draining: it is removed, and goes once nothing is in flight
	Weight     *int       `json:"weight,omitempty"`  // absent: as the policy's option weight says, else 1
	Configured bool       `json:"configured"`        // the configuration has it
	Changed    *time.Time `json:"changed,omitempty"` // when an operator changed it; absent for never
	InFlight   int        `json:"in_flight"`         // requests of this instance, web sockets included
}

// Running returns the rosters of the configuration that runs, by their names.
func Running() []*Roster {
	running.mu.Lock()
	defer running.mu.Unlock()
	all := make([]*Roster, 0, len(running.all))
	for r := range running.all {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *Roster) int {
		return cmp.Or(cmp.Compare(a.name, b.name), -cmp.Compare(a.generation, b.generation))
	})
	return slices.CompactFunc(all, func(a, b *Roster) bool { return a.name == b.name })
}

// Named returns the roster with the name; nil for none.
func Named(name string) *Roster {
	for _, r := range Running() {
		if r.name == name {
			return r
		}
	}
	return nil
}

// Name returns the roster's name.
func (r *Roster) Name() string { return r.name }

// View returns what operators see of the roster.
func (r *Roster) View() View {
	v := View{Name: r.name, Members: []MemberView{}}
	l := r.list.Load()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range l.entries {
		v.Members = append(v.Members, r.viewOf(&l.entries[i]))
	}
	for _, m := range r.configured {
		if e := l.get(m.Dial); e == nil || e.draining {
			v.Removed = append(v.Removed, m.Dial)
		}
	}
	return v
}

// Member returns what operators see of the member at the dial address; false for none.
func (r *Roster) Member(address string) (v MemberView, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.list.Load().get(address); e != nil {
		return r.viewOf(e), true
	}
	return v, false
}

// viewOf returns what operators see of the member. r.mu is held.
func (r *Roster) viewOf(e *entry) MemberView {
	v := MemberView{Address: e.address, State: "serving", Weight: e.configured, Configured: e.listed, InFlight: r.inFlight(e.address)}
	if e.draining {
		v.State = "draining"
	}
	if e.change != nil {
		v.Changed = &e.change.Given
		if e.change.Weight != nil {
			v.Weight = e.change.Weight
		}
	}
	return v
}

// Tag returns what differs where the roster has other members or weights.
func (r *Roster) Tag() string {
	var text strings.Builder
	for _, e := range r.list.Load().of(false) {
		weight := e.configured
		if e.change != nil && e.change.Weight != nil {
			weight = e.change.Weight
		}
		fmt.Fprintf(&text, "%s\n", e.address)
		if weight != nil {
			fmt.Fprintf(&text, "%d\n", *weight)
		}
	}
	sum := sha256.Sum256([]byte(text.String()))
	return hex.EncodeToString(sum[:8])
}
