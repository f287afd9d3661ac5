package attempt

import (
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/caddy-evenkeel/evenkeel/endpoint"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// connection is the one that an attempt is sent on. An upstream may close a connection
// that is idle at the moment at which a request is sent on it. Such a connection is
// stale: its failure says nothing of the upstream.
type connection struct {
	at    *endpoint.Idle // of the upstream's address; nil where nothing is kept of it
	idle  atomic.Int64   // ns for which it was idle; 0 for a new one, and for one that requests share
	since atomic.Int64   // instant at which the attempt got it
	heard atomic.Bool    // something of an answer has come
}

// prompt is within what time after it got a stale connection a request fails: a round
// trip, and the 200 ms for which the transport waits for the body. Later, the
// upstream had begun to serve it.
const prompt = time.Second

// watchConnection returns the request with the connection watched.
func watchConnection(r *http.Request, at *endpoint.Idle) (*http.Request, *connection) {
	c := &connection{at: at}
	return r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn:              c.got,
		GotFirstResponseByte: func() { c.heard.Store(true) },
	})), c
}

// got is called with each connection that the transport sends the request on.
func (c *connection) got(info httptrace.GotConnInfo) {
	idle := int64(0)
	if info.Reused && info.WasIdle && !shared(info) {
		idle = int64(info.IdleTime)
	}
	c.idle.Store(idle)
	c.since.Store(instant.Now())
}

// shared reports whether the connection may serve several requests at a time: that of
// HTTP/2, which says which requests it has not served when it closes.
func shared(info httptrace.GotConnInfo) bool {
	secure, ok := info.Conn.(interface{ ConnectionState() tls.ConnectionState })
	return ok && secure.ConnectionState().NegotiatedProtocol == "h2"
}

// stale reports whether the attempt has failed with the error because its connection
// was stale, and notes how long that had been idle. It returns false for nil.
func (c *connection) stale(err error) bool {
	if c == nil || c.heard.Load() || !closed(err) {
		return false
	}
	idle, now := time.Duration(c.idle.Load()), instant.Now()
	if idle < endpoint.ShortestIdle || now-c.since.Load() > int64(prompt) {
		return false
	}
	c.at.Closed(idle, now)
	return true
}

// served notes how long the connection that has served the attempt had been idle.
func (c *connection) served() {
	if c != nil {
		c.at.Open(time.Duration(c.idle.Load()))
	}
}

// resent reports whether Go's transport sends the request once more by itself, if its
// connection is stale.
func resent(r *http.Request) bool {
	if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		return false
	}
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return r.Header["Idempotency-Key"] != nil || r.Header["X-Idempotency-Key"] != nil
}
