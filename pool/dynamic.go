package pool

import (
	"hash/maphash"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
)

// dynamics are the upstreams that were not configured but returned by a source.
// A source may return other ones for other requests, so there may be several
// views; which one is meant is told by the addresses.
type dynamics struct {
	latest atomic.Pointer[view] // the one last asked for
	views  sync.Map             // uint64 → *view
	asked  atomic.Int64         // instant of the latest pick

	mu      sync.Mutex // guards the making of views, and:
	members map[string]*member
	count   int // views
	swept   int64
}

const (
	maxViews = 1000 // of one pool; the least recently used goes
	maxSeats = 4    // times dynamic_limit: upstreams in all views together
)

var (
	seed    = maphash.MakeSeed()
	scratch = sync.Pool{New: func() any { return new([]*reverseproxy.Upstream) }}
)

// selectDynamic picks one of upstreams that were not configured.
func (h *Handle) selectDynamic(upstreams reverseproxy.UpstreamPool, q Query) (picked *reverseproxy.Upstream, full bool) {
	p, d := h.pool, &h.pool.dynamic
	now := instant(time.Now())
	buffer := scratch.Get().(*[]*reverseproxy.Upstream)
	defer func() {
		clear(*buffer)
		scratch.Put(buffer)
	}()

	v := d.latest.Load()
	if v == nil || !v.fill(buffer, upstreams) {
		v = p.viewOf(upstreams, now)
		v.fill(buffer, upstreams)
		d.latest.Store(v)
	}
	v.sight(now)
	if now-d.asked.Load() > int64(tick) {
		d.asked.Store(now)
	}
	if !q.stale && h.owner {
		p.source.keep(upstreams, q.Request, now, maxSeats*p.limit)
	}
	return h.pick(v.snapshot.Load(), q, buffer, len(v.members))
}

// narrow returns the tier's upstreams of the view's, which are in the buffer,
// and puts them behind those.
func narrow(t *Tier, buffer *[]*reverseproxy.Upstream, members int) []*reverseproxy.Upstream {
	*buffer = slices.Grow((*buffer)[:members], len(t.Candidates))[:members+len(t.Candidates)]
	upstreams := (*buffer)[members:]
	for i, c := range t.Candidates {
		upstreams[i] = (*buffer)[c.place]
	}
	return upstreams
}

// fill puts the upstreams into the buffer in the order of the view's members.
// It returns false if they are not the members.
func (v *view) fill(buffer *[]*reverseproxy.Upstream, upstreams []*reverseproxy.Upstream) bool {
	clear(*buffer)
	*buffer = slices.Grow((*buffer)[:0], len(v.members))[:len(v.members)]
	distinct := 0
	for _, u := range upstreams {
		i, ok := v.index[u.Dial]
		if !ok {
			return false
		}
		if (*buffer)[i] == nil {
			(*buffer)[i] = u
			distinct++
		}
	}
	return distinct == len(v.members)
}

// sight notes that the members were returned by a source.
func (v *view) sight(now int64) {
	if asked := v.asked.Load(); asked != 0 && now-asked < int64(tick) {
		return
	}
	v.asked.Store(now)
	for _, m := range v.members {
		m.seen.Store(now)
	}
}

// viewOf returns the view of the upstreams, which it makes if there is none.
func (p *Pool) viewOf(upstreams []*reverseproxy.Upstream, now int64) *view {
	var print uint64 // the same for any order
	for _, u := range upstreams {
		print += maphash.String(seed, u.Dial)
	}
	var buffer []*reverseproxy.Upstream
	d := &p.dynamic
	known := func() *view {
		v, ok := d.views.Load(print)
		// One that was not asked for in a while may have members that are not
		// checked any more.
		if !ok || now-v.(*view).asked.Load() > int64(p.expiry) || !v.(*view).fill(&buffer, upstreams) {
			return nil
		}
		return v.(*view)
	}
	if v := known(); v != nil {
		return v
	}
	p.building.Lock() // so that no flip gets lost between reading and storing
	defer p.building.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if v := known(); v != nil {
		return v // another request was faster
	}
	v := &view{index: make(map[string]int, len(upstreams)), history: new(history)}
	closed := p.isClosed()
	if !closed {
		v.history = p.historyOf(strconv.FormatUint(print, 36))
	}
	fresh := make(map[*member]bool)
	for _, u := range upstreams {
		if _, ok := v.index[u.Dial]; ok {
			continue
		}
		m, isNew := p.sighted(u.Dial, now)
		fresh[m] = isNew && m.known != nil && m.known.generation == p.generation
		v.index[u.Dial] = len(v.members)
		v.members = append(v.members, m)
	}
	p.welcome(v.members, func(m *member) bool { return fresh[m] }, now)
	v.arrange()
	p.seat(v)
	p.build(v)
	v.sight(now)
	if !closed { // else all was released
		p.sweep(now)
	}
	if old, ok := d.views.Swap(print, v); !ok {
		d.count++
	} else if !closed {
		old.(*view).history.release()
		old.(*view).snapshot.Load().discount(new(Snapshot))
	}
	return v
}

// sighted returns the member with the given address; a new one if there is none,
// or if its watches have ended since it was last seen.
func (p *Pool) sighted(address string, now int64) (m *member, isNew bool) {
	d := &p.dynamic
	m = d.members[address]
	if m != nil && !(len(m.watches) > 0 && m.watches[0].Closed()) {
		m.seen.Store(now)
		return m, false
	}
	if m != nil {
		p.release(m)
		delete(d.members, address)
	}
	closed := p.isClosed()
	if closed || len(d.members) >= p.limit {
		if !closed && p.fullLog.ok(now) {
			p.logger.Warn("dynamic_limit reached: further upstreams are neither checked nor ejected",
				zap.Int("dynamic_limit", p.limit), zap.String("upstream", address))
		}
		return p.loner(address), false
	}
	m = p.newMember(address, now)
	m.seen.Store(now)
	if err := p.watch(m, func(t time.Time) bool { return p.gone(m, instant(t)) }); err != nil {
		p.logger.Error("upstream is not checked", zap.String("upstream", address), zap.Error(err))
	}
	if d.members == nil {
		d.members = make(map[string]*member)
	}
	d.members[address] = m
	return m, true
}

// gone reports whether sources have stopped returning the member, for longer
// than it is kept. While nobody asks the sources, nothing is gone.
func (p *Pool) gone(m *member, now int64) bool {
	seen := m.seen.Load()
	return p.dynamic.asked.Load()-seen > 2*int64(tick) && now-seen > int64(p.expiry)
}

// sweep drops the views that have not been asked for in a while, and the
// members that are in none. Both mutexes are held.
func (p *Pool) sweep(now int64) {
	d := &p.dynamic
	if d.count < maxViews && now-d.swept < int64(min(p.expiry, time.Minute)) {
		return
	}
	d.swept = now
	var oldest any
	var oldestView *view
	kept := make(map[*member]bool)
	d.views.Range(func(print, value any) bool {
		v := value.(*view)
		asked := v.asked.Load()
		if now-asked > int64(p.expiry) {
			d.drop(print, v)
			return true
		}
		if oldest == nil || asked < oldestView.asked.Load() {
			oldest, oldestView = print, v
		}
		for _, m := range v.members {
			kept[m] = true
		}
		return true
	})
	if d.count >= maxViews {
		d.drop(oldest, oldestView)
	}
	var watches []*healthcheck.Watch
	for address, m := range d.members {
		if !kept[m] && p.gone(m, now) {
			watches = append(watches, m.watches...)
			p.release(m)
			delete(d.members, address)
		}
	}
	// Not under the locks: a checker may take its time to end.
	end := func() { healthcheck.Close(watches...) }
	if len(watches) > 0 && !p.background(end) {
		end()
	}
}

// drop forgets a view.
func (d *dynamics) drop(print any, v *view) {
	d.views.Delete(print)
	d.count--
	v.history.release()
	v.snapshot.Load().discount(new(Snapshot))
}

// all returns the views.
func (d *dynamics) all() (views []*view) {
	d.views.Range(func(_, v any) bool {
		views = append(views, v.(*view))
		return true
	})
	return views
}

// close returns all members, and forgets them. The views stay, for the requests
// that are still in flight.
func (d *dynamics) close() (members []*member) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.members {
		members = append(members, m)
	}
	d.members = nil
	return members
}
