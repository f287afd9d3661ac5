package app

import (
	"reflect"
	"sync"
)

// shared holds one value per type.
type shared struct {
	sharedMu sync.Mutex // guards values
	values   map[reflect.Type]any
}

// Shared returns the value of the type that a package keeps with the
// configuration, made by create for the first who asks. Create must not ask for
// another one.
func Shared[T any](a *App, create func() *T) *T {
	a.sharedMu.Lock()
	defer a.sharedMu.Unlock()
	at := reflect.TypeFor[T]()
	if v, ok := a.values[at]; ok {
		return v.(*T)
	}
	if a.values == nil {
		a.values = make(map[reflect.Type]any)
	}
	v := create()
	a.values[at] = v
	return v
}
