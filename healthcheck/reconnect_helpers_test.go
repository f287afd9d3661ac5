package healthcheck

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/app"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// inBubble runs the test in a bubble where nothing is spread.
func inBubble(t *testing.T, f func(*testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		random := monitor.random
		monitor.random = func() float64 { return 0 }
		t.Cleanup(func() { monitor.random = random })
		f(t)
	})
}

// losing is a pool that loses upstreams.
type losing struct {
	t     testing.TB
	app   *app.App
	group *Group
}

// newLosing returns the pool of a configuration of its own, which has not started.
func newLosing(t testing.TB) *losing {
	t.Helper()
	ctx := configContext(t, `{}`)
	p := &losing{t: t, group: newGroup(t, ctx)}
	p.app = p.group.configuration.app
	t.Cleanup(func() {
		p.close()
		monitor.mu.Lock()
		defer monitor.mu.Unlock()
		monitor.connections.free = time.Time{} // the next test's clock begins anew
	})
	return p
}

func (p *losing) start() *losing {
	if err := p.app.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { p.app.Stop() })
	return p
}

func (p *losing) close() {
	p.app.Stop()
	p.group.CloseReconnections(p.app.CloseBy())
	p.group.events.Close(p.app.CloseBy())
}

// lose begins a reconnection over the dialer, as of an upstream that was just lost.
func (p *losing) lose(d *dialer, dialled string) *lostBy {
	return p.loseWith(Reconnection{Dialled: dialled, Connector: d.connector(p.t, ""), Since: instant.Now()})
}

func (p *losing) loseWith(r Reconnection) *lostBy {
	l := &lostBy{}
	r.Reached = func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.reached++
	}
	if r.Hurry == nil {
		r.Hurry = func() bool { return false }
	}
	l.Reconnecting = p.group.Reconnect(r)
	return l
}

// lostBy is a reconnection that counts how often its upstream was reached.
type lostBy struct {
	*Reconnecting
	mu      sync.Mutex
	reached int
}

func (l *lostBy) times() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reached
}

// dialer is a dialer that records when it begins which connection.
type dialer struct {
	began time.Time

	mu      sync.Mutex // guards what follows
	err     error      // nil: it connects
	hang    time.Duration
	deaf    bool // hangs whatever its context says
	times   map[string][]time.Duration
	by      map[string][]string // labels of the connectors
	all     []time.Duration
	running map[string]bool
	atOnce  int
	most    int // at once
}

var errRefused = errors.New("connection refused")

func newDialer() *dialer {
	return &dialer{began: time.Now(), err: errRefused,
		times: make(map[string][]time.Duration), by: make(map[string][]string), running: make(map[string]bool)}
}

// connector returns a connector over the dialer. Those with one label are equal.
func (d *dialer) connector(t testing.TB, label string) *Connector {
	t.Helper()
	return connector(t, &reverseproxy.HTTPTransport{
		LocalAddress: label,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return d.dial(ctx, address, label)
		}},
	})
}

func (d *dialer) dial(ctx context.Context, address, label string) (net.Conn, error) {
	d.mu.Lock()
	at := time.Since(d.began)
	d.times[address], d.by[address] = append(d.times[address], at), append(d.by[address], label)
	d.all = append(d.all, at)
	if d.running[address] {
		panic("two connections to one address at once")
	}
	d.running[address] = true
	d.atOnce++
	d.most = max(d.most, d.atOnce)
	err, hang, deaf := d.err, d.hang, d.deaf
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.running[address] = false
		d.atOnce--
	}()
	if hang > 0 {
		if deaf {
			ctx = context.Background()
		}
		select {
		case <-time.After(hang):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	conn, _ := net.Pipe()
	return conn, nil
}

func (d *dialer) set(err error, hang time.Duration, deaf bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err, d.hang, d.deaf = err, hang, deaf
}

// to returns when connections to the address began.
func (d *dialer) to(address string) []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]time.Duration(nil), d.times[address]...)
}

// longest returns the longest of the distances between the times.
// Without any it is an hour.
func longest(times []time.Duration) (longest time.Duration) {
	if len(times) == 0 {
		return time.Hour
	}
	for i := range times[1:] {
		longest = max(longest, times[i+1]-times[i])
	}
	return longest
}
