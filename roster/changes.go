package roster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/internal/orders"
)

// changes are the members that operators have added, removed and weighted. Each is kept
// as an order for the member's address in the pool of the roster's name, apart from the
// orders for upstreams: one without state only changes the weight.
var changes = orders.NewStoreOf("rosters", validate)

const (
	present orders.State = "member"  // the roster has it, though the configuration does not
	removed orders.State = "removed" // the roster does not have it, though the configuration may
)

// validate returns what is wrong with a change.
func validate(o *orders.Order) error {
	switch {
	case o.Pool == "":
		return errors.New("it is of no roster")
	case o.Weight != nil && (*o.Weight < 0 || *o.Weight > orders.MaxWeight):
		return fmt.Errorf("weight: %d is not between 0 and %d", *o.Weight, orders.MaxWeight)
	case o.State != "" && o.State != present && o.State != removed:
		return fmt.Errorf("state: '%s' is none of a member", o.State)
	}
	if err := cfg.CheckName("roster", o.Pool); err != nil {
		return err
	}
	return cfg.CheckMember(o.Address)
}

// Errors of changes.
var (
	// ErrUnknown is returned for an address that is not a member's.
	ErrUnknown = errors.New("the roster has no such member")

	// ErrConflict is returned where the roster is not as the caller has seen it.
	ErrConflict = errors.New("the roster has changed meanwhile")
)

// BadAddress is returned where what is to be a member is no upstream.
type BadAddress struct{ Err error }

func (e *BadAddress) Error() string { return e.Err.Error() }

// Unchanged is returned where the storage has not taken a change.
type Unchanged struct{ Err error }

func (e *Unchanged) Error() string { return e.Err.Error() }

// Resolve returns the dial address of what a caller names: a member as it is, or an
// upstream as it is written for reverse_proxy, which must be one.
func (r *Roster) Resolve(upstream string) (string, error) {
	if r.list.Load().get(upstream) != nil || r.lists(upstream) != nil {
		return upstream, nil
	}
	if placeholder.MatchString(upstream) {
		return "", &BadAddress{fmt.Errorf("'%s': a member that is added has no placeholders", upstream)}
	}
	addresses, err := cfg.ParseMember(upstream)
	switch {
	case err != nil:
		return "", &BadAddress{err}
	case len(addresses) != 1:
		return "", &BadAddress{fmt.Errorf("'%s' stands for %d upstreams; name one", upstream, len(addresses))}
	}
	return addresses[0], nil
}

// lists returns the member as it is configured; nil for one that is not.
func (r *Roster) lists(address string) *Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.configured {
		if r.configured[i].Dial == address {
			return &r.configured[i]
		}
	}
	return nil
}

// serves reports whether the roster has the member, and does not drain it.
func (r *Roster) serves(address string) bool {
	e := r.list.Load().get(address)
	return e != nil && !e.draining
}

// Add makes the upstream at the dial address a member with the weight; nil for that which
// the configuration gives it. IsNew is whether it was none. With a tag, that must be the
// roster's.
func (r *Roster) Add(ctx context.Context, address, tag string, weight *int) (isNew bool, err error) {
	err = r.change(ctx, address, tag, func(o *orders.Order) error {
		isNew = !r.serves(address)
		o.State, o.Weight, o.Ends = present, weight, nil
		if r.lists(address) != nil {
			o.State = "" // it goes when the configuration drops it
		}
		return nil
	})
	return isNew, err
}

// Weigh gives the member at the dial address the weight; nil for that which the
// configuration gives it. With a tag, that must be the roster's.
func (r *Roster) Weigh(ctx context.Context, address, tag string, weight *int) error {
	return r.change(ctx, address, tag, func(o *orders.Order) error {
		if !r.serves(address) {
			return ErrUnknown
		}
		o.Weight = weight
		return nil
	})
}

// Remove removes the member at the dial address. It gets no new traffic from now on, and
// goes once it has nothing in flight. With a tag, that must be the roster's.
func (r *Roster) Remove(ctx context.Context, address, tag string) error {
	return r.change(ctx, address, tag, func(o *orders.Order) error {
		if !r.serves(address) {
			return ErrUnknown
		}
		o.State, o.Weight, o.Ends = removed, nil, nil
		if r.lists(address) == nil {
			// Nothing brings it back, but every instance has to see that it drains.
			ends := time.Now().Add(longestDrain).UTC().Truncate(time.Millisecond)
			o.Ends = &ends
		}
		return nil
	})
}

// change changes what is stored of the member. An error of the edit is returned as it is.
func (r *Roster) change(ctx context.Context, address, tag string, edit func(*orders.Order) error) error {
	var refused error
	_, err := r.store.Change(ctx, r.name, address, "", func(o *orders.Order) error {
		if tag != "" && tag != r.Tag() {
			refused = ErrConflict
		} else if refused = edit(o); refused == nil {
			refused = validate(o)
		}
		return refused
	})
	switch {
	case refused != nil:
		return refused
	case err != nil:
		return &Unchanged{err}
	}
	return nil
}
