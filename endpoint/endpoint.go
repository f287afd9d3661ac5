// Package endpoint holds what the process knows of a resolved dial address: the
// attempts in flight and their age, the slots of its limit, and how long idle connections
// stay open. All handlers and
// configurations that send requests there share it.
package endpoint

import (
	"sync"

	"github.com/caddy-evenkeel/evenkeel/internal/registry"
)

// Endpoint is a dial address. It exists while it is in use, and so outlives reloads.
type Endpoint struct {
	InFlight InFlight
	Slots    Slots
	Idle     Idle

	mu    sync.Mutex // guards all below
	ended bool
	ends  map[string]func() // called at the end
}

// endpoints are all that are in use.
var endpoints = registry.Registry[string, Endpoint]{Drop: func(_ string, e *Endpoint) { e.end() }}

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

// AtEnd has the function called when the last use of the endpoint has ended; at once,
// if it has. Of several under one key, the first is called.
func (e *Endpoint) AtEnd(key string, f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.ended:
		f()
	case e.ends[key] == nil:
		if e.ends == nil {
			e.ends = make(map[string]func())
		}
		e.ends[key] = f
	}
}

func (e *Endpoint) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	for _, f := range e.ends {
		f()
	}
	e.ends = nil
}
