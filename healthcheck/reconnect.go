package healthcheck

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// Distances between the connections to one upstream, from the end of one to the
// beginning of the next. Each is doubled for the next up to what may be the most.
// To spread connections, each is up to a tenth shorter.
const (
	firstDistance = 100 * time.Millisecond // from the beginning
	nearDistance  = 400 * time.Millisecond // the most while requests wait, and at first
	farDistance   = 5 * time.Second        // the most otherwise

	// nearFor is how long after the loss of an upstream the distances stay near.
	nearFor = time.Minute
)

// Reconnection is what a pool asks for whose upstream could not be connected to:
// connections until one succeeds.
type Reconnection struct {
	// Dialled is the upstream's dial address, with placeholders filled in. In the
	// whole process one connection at a time is opened to an address. Reconnections
	// to one address take turns; those with equal connectors share each result.
	Dialled string

	// Connector opens the connections.
	Connector *Connector

	// Since is the instant at which the upstream was lost. For a minute from then
	// on the distances stay at 400 ms.
	Since int64

	// Hurry reports whether requests wait for the upstream. It is called with the
	// monitor's mutex held: it must neither block nor call this package.
	Hurry func() bool

	// Failed, unless nil, is called with the error after each connection that has failed,
	// with the monitor's mutex held: it must neither block nor call this package.
	Failed func(error)

	// Reached is called, without locks, once a connection has succeeded. The
	// reconnection is over then.
	Reached func()

	// Accepting is how often in a row a connection has succeeded and the requests
	// after it have failed all the same. If it is above 0, the first connection waits
	// for min(5s, 400ms << Accepting), and none that began before counts.
	Accepting int
}

// Reconnecting is a reconnection that has begun.
type Reconnecting struct {
	Reconnection
	group *Group

	// The monitor's mu guards what follows.
	over bool      // it was stopped, or its upstream has been reached
	from time.Time // connections begun before do not count; zero for all that count
}

// Reconnect begins to connect to an upstream, once the configuration has started.
// The caller stops it, or closes the group's reconnections, unless Reached is called.
func (g *Group) Reconnect(r Reconnection) *Reconnecting {
	began := &Reconnecting{Reconnection: r, group: g}
	monitor.mu.Lock()
	g.reconnecting[began] = struct{}{}
	monitor.mu.Unlock()
	g.configuration.app.AtStart(func() { monitor.reconnect(began) })
	return began
}

// Stop ends the reconnection and cancels its connection. Reached is not called any
// more, unless it has been called already. Stop does not wait for that, nor for the
// connection, so that Reached may call it, and callers may hold locks that Reached
// takes: see [Group.CloseReconnections].
func (r *Reconnecting) Stop() {
	m := monitor
	m.mu.Lock()
	m.stopReconnecting(r, time.Now())
	stopped := m.endUnused()
	m.mu.Unlock()
	if stopped != nil {
		<-stopped
	}
}

// Hasten brings the next connection nearer, to 400 ms at most after the one before.
// It is for the first request that begins to wait for the upstream.
func (r *Reconnecting) Hasten() {
	m := monitor
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.lost[r.Dialled]
	if r.over || l == nil || l.ended.IsZero() || l.distance <= nearDistance {
		return
	}
	l.distance = nearDistance
	next := l.ended.Add(m.spread(l.distance))
	if next.Before(l.next) {
		l.next = next
		m.place(l, time.Now())
	}
}

// CloseReconnections ends the group's reconnections, and waits until the given time
// at most for their connections, and for calls of Reached.
func (g *Group) CloseReconnections(until time.Time) {
	m := monitor
	m.mu.Lock()
	now := time.Now()
	for r := range g.reconnecting {
		m.stopReconnecting(r, now)
	}
	running := make([]*connection, 0, len(g.connections))
	for c := range g.connections {
		running = append(running, c)
	}
	stopped := m.endUnused()
	m.mu.Unlock()
	patience := newPatience(until)
	defer patience.Stop()
	for _, c := range running {
		patience.await(c.ended)
	}
	if stopped != nil {
		<-stopped
	}
}

// lost is an upstream that reconnections want to reach. The monitor's mu guards it.
type lost struct {
	dialled  string
	users    []*Reconnecting // in the order of their turns
	distance time.Duration   // before the latest connection; 0 before the first one has ended
	ended    time.Time       // when the latest connection ended; zero before
	next     time.Time       // when the next may begin

	// Where and until when it waits; connection is the one under way. At any time one
	// of queue and connection is nil.
	queue      *connectionQueue
	due        time.Time
	index      int // in queue.due
	turn       *Reconnecting
	connection *connection
}

// reconnect begins a reconnection.
func (m *Monitor) reconnect(r *Reconnecting) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.over {
		return
	}
	now := time.Now()
	first := now.Add(m.spread(firstDistance))
	if r.Accepting > 0 {
		first = now.Add(m.spread(min(nearDistance<<min(r.Accepting, 8), farDistance)))
		r.from = first
	}
	l := m.lost[r.Dialled]
	if l == nil {
		l = &lost{dialled: r.Dialled, next: first}
		m.lost[r.Dialled] = l
		caddy.Log().Named("load_balancer").Debug("connecting to the upstream until that succeeds", zap.String("upstream", r.Dialled))
	}
	l.users = append(l.users, r)
	if first.Before(l.next) {
		l.next = first
	}
	m.begin(now)
	m.place(l, now)
}

// stopReconnecting ends a reconnection. The mutex is held, as for the functions below.
func (m *Monitor) stopReconnecting(r *Reconnecting, now time.Time) {
	if r.over {
		return
	}
	r.over = true
	delete(r.group.reconnecting, r)
	l := m.lost[r.Dialled]
	if l == nil {
		return // it has not begun
	}
	l.users = slices.DeleteFunc(l.users, func(other *Reconnecting) bool { return other == r })
	if c := l.connection; c != nil && c.by == r {
		c.canceled = true
		c.cancel()
	}
	m.place(l, now)
}

// place puts the upstream where it waits for its next connection: in the queue of the
// group whose turn it is. One that nobody wants any more is dropped.
func (m *Monitor) place(l *lost, now time.Time) {
	if l.queue != nil {
		m.connections.remove(l)
	}
	if l.connection != nil {
		return // its end places it
	}
	if len(l.users) == 0 {
		delete(m.lost, l.dialled)
		return
	}
	l.turn, l.due = nil, time.Time{}
	for _, r := range l.users {
		due := l.next
		if r.from.After(due) {
			due = r.from
		}
		if l.turn == nil || due.Before(l.due) {
			l.turn, l.due = r, due
		}
	}
	m.connections.add(l, &l.turn.group.lost)
	if l.due.Before(m.nextLook) {
		m.wake()
	}
}

// widen sets when the next connection to the upstream may begin.
func (m *Monitor) widen(l *lost, now time.Time) {
	most := farDistance
	for _, r := range l.users {
		if instant.Of(now)-r.Since < int64(nearFor) || r.Hurry() {
			most = nearDistance
			break
		}
	}
	l.distance = min(max(2*l.distance, 2*firstDistance), most)
	l.ended, l.next = now, now.Add(m.spread(l.distance))
}

// spread returns the distance, up to a tenth shorter.
func (m *Monitor) spread(distance time.Duration) time.Duration {
	return distance - time.Duration(m.random()*float64(distance)/10)
}
