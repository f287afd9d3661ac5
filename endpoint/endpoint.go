// Package endpoint holds what the process knows of a resolved dial address: the
// attempts in flight and their age, the slots of its limit, and how long idle connections
// stay open. All handlers and
// configurations that send requests there share it.
package endpoint

import "github.com/caddy-evenkeel/evenkeel/internal/registry"

// Endpoint is a dial address. It exists while it is in use, and so outlives reloads.
type Endpoint struct {
	InFlight InFlight
	Slots    Slots
	Idle     Idle
}

// endpoints are all that are in use.
var endpoints registry.Registry[string, Endpoint]

// IdleOf returns the endpoint's Idle; nil for a nil endpoint.
func IdleOf(e *Endpoint) *Idle {
	if e == nil {
		return nil
	}
	return &e.Idle
}

// Acquire returns the endpoint of the address. [Release] gives it back.
func Acquire(address string) *Endpoint {
	return endpoints.Acquire(address, func() *Endpoint { return new(Endpoint) })
}

// Release gives back what [Acquire] has returned.
func Release(address string) { endpoints.Release(address) }

// Count returns how many endpoints there are.
func Count() int { return endpoints.Len() }
