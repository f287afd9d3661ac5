// Package orders holds what operators order of upstreams and of pools, while Caddy runs:
// drains, maintenance, weights, pauses. Orders lie in Caddy's configured storage, so that
// they outlive reloads and restarts, and every instance that shares the storage obeys.
package orders

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// State is the state that an order gives.
type State string

const (
	Ready       State = "ready"       // an upstream takes all traffic, unless its agent or the configuration says otherwise
	Drain       State = "drain"       // an upstream takes only the traffic of its sessions
	Maintenance State = "maintenance" // an upstream takes no traffic

	Open   State = "open"   // a pool serves requests
	Paused State = "paused" // a pool's requests wait, as the option hold lets them
)

// MaxWeight is the highest weight that may be ordered.
const MaxWeight = 1<<31 - 1

const maxReason = 1000 // bytes

// Order is what an operator orders of one upstream, or of one pool. What it leaves out
// stays as it is configured.
type Order struct {
	Pool    string     `json:"pool,omitempty"`    // name of the pool; empty: all pools that have the upstream
	Address string     `json:"address,omitempty"` // dial address of the upstream; empty: the order is of the pool
	State   State      `json:"state,omitempty"`
	Weight  *int       `json:"weight,omitempty"` // instead of the configured weight
	Reason  string     `json:"reason,omitempty"`
	Given   time.Time  `json:"given"`
	Ends    *time.Time `json:"ends,omitempty"` // when it ends by itself; nil: not at all
}

// key tells orders apart.
type key struct{ pool, address string }

func (o *Order) key() key { return key{o.Pool, o.Address} }

// Empty reports whether the order orders nothing.
func (o *Order) Empty() bool {
	return o.Weight == nil && (o.State == "" || o.State == Open || o.State == Ready && o.Pool == "")
}

// ended reports whether the order has ended by the time.
func (o *Order) ended(now time.Time) bool { return o.Ends != nil && !now.Before(*o.Ends) }

// equal reports whether the orders order the same, and were given at the same time.
func (o *Order) equal(p *Order) bool {
	return p != nil && o.Pool == p.Pool && o.Address == p.Address && o.State == p.State && o.Reason == p.Reason && o.Given.Equal(p.Given) &&
		(o.Weight == nil) == (p.Weight == nil) && (o.Weight == nil || *o.Weight == *p.Weight) &&
		(o.Ends == nil) == (p.Ends == nil) && (o.Ends == nil || o.Ends.Equal(*p.Ends))
}

// Validate returns what is wrong with the order.
func (o *Order) Validate() error {
	switch {
	case o.Address == "" && o.Pool == "":
		return errors.New("an order names an upstream or a pool")
	case o.Address == "" && o.Weight != nil:
		return errors.New("weight: a pool has none, only an upstream has")
	case o.Weight != nil && (*o.Weight < 0 || *o.Weight > MaxWeight):
		return fmt.Errorf("weight: %d is not between 0 and %d", *o.Weight, MaxWeight)
	case len(o.Reason) > maxReason:
		return fmt.Errorf("reason: %d bytes are more than %d", len(o.Reason), maxReason)
	case strings.ContainsFunc(o.Reason, unicode.IsControl):
		return errors.New("reason: it has control characters, such as the end of a line")
	}
	switch o.State {
	case "":
		return nil
	case Ready, Drain, Maintenance:
		if o.Address != "" {
			return nil
		}
		return fmt.Errorf("state: '%s' is not a state of a pool; there are open, paused", o.State)
	case Open, Paused:
		if o.Address == "" {
			return nil
		}
	}
	return fmt.Errorf("state: '%s' is not a state that can be ordered of an upstream; there are ready, drain, maintenance", o.State)
}

// String says what is ordered.
func (o *Order) String() string {
	text := string(o.State)
	if o.Weight != nil {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("weight %d", *o.Weight)
	}
	if text == "" {
		return "nothing"
	}
	return text
}

// Effect is what all orders together order of one upstream.
type Effect struct {
	State  State // [Drain], [Maintenance] or empty
	Weight *int  // instead of the configured one; nil for that

	// The orders behind it: nil where there is none.
	StateBy, WeightBy *Order
}

// Any reports whether anything is ordered.
func (e *Effect) Any() bool { return e.StateBy != nil || e.WeightBy != nil }

// String says what is ordered; empty for nothing.
func (e *Effect) String() string {
	var text []string
	if e.StateBy != nil {
		text = append(text, string(e.StateBy.State))
	}
	if e.Weight != nil {
		text = append(text, fmt.Sprintf("weight %d", *e.Weight))
	}
	return strings.Join(text, ", ")
}

// Reason returns the reasons that the operators gave.
func (e *Effect) Reason() string {
	var text []string
	for _, by := range []*Order{e.StateBy, e.WeightBy} {
		if by != nil && by.Reason != "" && !slices.Contains(text, by.Reason) {
			text = append(text, by.Reason)
		}
	}
	return strings.Join(text, "; ")
}

// Or returns the effect with what the other one orders besides. It goes before the other
// one; but what the other one keeps out, an order to be ready does not let in.
func (e Effect) Or(other Effect) Effect {
	if e.State == "" && other.State != "" || e.StateBy == nil {
		e.State, e.StateBy = other.State, other.StateBy
	}
	if e.WeightBy == nil {
		e.Weight, e.WeightBy = other.Weight, other.WeightBy
	}
	return e
}
