package healthcheck

import (
	"fmt"
	"strings"
	"time"
)

// Mode says which traffic an upstream wants.
type Mode uint8

// Modes.
const (
	SameMode Mode = iota // as before
	Ready                // all
	Drain                // only that of its sessions
	Maint                // none
)

// WeightOrder is the weight that an upstream orders. The zero WeightOrder leaves the
// weight as it was ordered before.
type WeightOrder struct {
	Value uint32
	Unit  Unit
}

// Unit is what a [WeightOrder] is counted in.
type Unit uint8

// Units.
const (
	Percent  Unit = iota + 1 // of the configured weight
	Absolute                 // instead of the configured weight
)

// NoLimit is the limit of an [Order] that removes the one ordered before.
const NoLimit = -1

// MayOrder reports whether the check's probes may return orders. The check is
// provisioned.
func (c *Check) MayOrder() bool {
	_, reports := c.checker.(Reporter)
	_, headerOnly := c.checker.(*HTTP)
	return reports && !headerOnly
}

// Order is one order that an upstream gives for itself. What it leaves out stays as
// it was ordered before.
type Order struct {
	Mode   Mode
	Weight WeightOrder
	Limit  int // requests at once; 0: as before, [NoLimit]: none
}

// Orders is the sum of the orders that an upstream has given. Only the upstream can
// undo them. The zero Orders change nothing.
type Orders struct {
	mode    Mode        // Drain or Maint, else zero
	weight  WeightOrder // zero: as configured
	limit   int
	resumed time.Time
}

// Weight returns the weight that replaces the configured one; 0 if the upstream
// gets no new traffic.
func (o Orders) Weight(configured uint32) float64 {
	switch {
	case o.mode != SameMode:
		return 0
	case o.weight.Unit == Percent:
		return float64(configured) * float64(o.weight.Value) / 100
	case o.weight.Unit == Absolute:
		return float64(o.weight.Value)
	}
	return float64(configured)
}

// Limit returns how many requests the upstream takes at once; 0 for any number.
func (o Orders) Limit() int { return o.limit }

// Maint reports whether the upstream wants no traffic at all, not even that of
// its sessions.
func (o Orders) Maint() bool { return o.mode == Maint }

// Out returns why the upstream gets no new traffic; empty if it gets some.
func (o Orders) Out() string {
	switch {
	case o.mode == Drain:
		return "drained by its agent"
	case o.mode == Maint:
		return "in maintenance by its agent"
	case o.weight.Unit != 0 && o.weight.Value == 0:
		return "weight set to 0 by its agent"
	}
	return ""
}

// Resumed returns when the upstream last asked for new traffic after it had
// asked for none; zero for never.
func (o Orders) Resumed() time.Time { return o.resumed }

// String lists the orders.
func (o Orders) String() string {
	var all []string
	switch o.mode {
	case Drain:
		all = append(all, "drain")
	case Maint:
		all = append(all, "maint")
	}
	switch o.weight.Unit {
	case Percent:
		all = append(all, fmt.Sprintf("weight %d%%", o.weight.Value))
	case Absolute:
		all = append(all, fmt.Sprintf("weight %d", o.weight.Value))
	}
	if o.limit > 0 {
		all = append(all, fmt.Sprintf("limit %d", o.limit))
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// after returns the orders after one more.
func (o Orders) after(order Order, now time.Time) Orders {
	next := o
	switch order.Mode {
	case Ready:
		next.mode = SameMode
	case Drain, Maint:
		next.mode = order.Mode
	}
	switch order.Weight {
	case WeightOrder{}:
	case WeightOrder{100, Percent}:
		next.weight = WeightOrder{}
	default:
		next.weight = order.Weight
	}
	switch {
	case order.Limit > 0:
		next.limit = order.Limit
	case order.Limit < 0:
		next.limit = 0
	}
	if o.Out() != "" && next.Out() == "" {
		next.resumed = now
	}
	return next
}
