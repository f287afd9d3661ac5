package admin

import (
	"net/http"
	"sync"
)

// closings are the servers that have open streams, each with a channel that is closed
// when it shuts down: a shutdown waits for all requests that are open, and tells none.
var closings struct {
	mu  sync.Mutex // guards all
	all map[*http.Server]chan struct{}
}

// closingOf returns a channel that is closed when the request's server shuts down; nil
// where that is not known.
func closingOf(r *http.Request) <-chan struct{} {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return nil
	}
	closings.mu.Lock()
	defer closings.mu.Unlock()
	if closing := closings.all[server]; closing != nil {
		return closing
	}
	closing := make(chan struct{})
	if closings.all == nil {
		closings.all = make(map[*http.Server]chan struct{})
	}
	closings.all[server] = closing
	server.RegisterOnShutdown(func() {
		close(closing)
		closings.mu.Lock()
		defer closings.mu.Unlock()
		delete(closings.all, server)
	})
	return closing
}
