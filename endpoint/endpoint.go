// Package endpoint holds what the process knows of a resolved dial address,
// whichever handlers and configurations send requests there: the attempts in flight
// and their age, and the slots of its limit.
package endpoint

import (
	"sync"

	"github.com/caddy-evenkeel/evenkeel/internal/registry"
)

// Endpoint is a dial address. It is known for as long as somebody uses it, and so
// outlives reloads.
type Endpoint struct {
	InFlight InFlight
	Slots    Slots

	mu    sync.Mutex // guards all below
	ended bool
	ends  map[string]func()
}

// endpoints are all in use.
var endpoints = registry.Registry[string, Endpoint]{Drop: func(_ string, e *Endpoint) { e.end() }}

// Acquire returns the endpoint of the address. [Release] gives it back.
func Acquire(address string) *Endpoint {
	return endpoints.Acquire(address, func() *Endpoint { return new(Endpoint) })
}

// Release gives back what [Acquire] has returned.
func Release(address string) { endpoints.Release(address) }

// Known returns how many endpoints there are.
func Known() int { return endpoints.Len() }

// AtEnd has the function called once nobody uses the endpoint any more; at once,
// where that is so already. Of several under one key, the first is called.
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
