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
	"github.com/caddy-evenkeel/evenkeel/internal/app"
	"github.com/caddy-evenkeel/evenkeel/internal/cache"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/internal/wakeup"
)

// dynamics are the upstreams that a source has returned. It may return others for
// other requests, so there may be several memberships. The addresses tell which one a
// request is for.
type dynamics struct {
	latest      atomic.Pointer[membership]       // of the latest request
	memberships cache.Cache[uint64, *membership] // by a hash of the addresses
	members     sync.Map                         // by address: string → *member
	asked       atomic.Int64                     // instant of the latest request
	expiry      wakeup.Timer                     // runs [Pool.expire], where clients choose names

	mu    sync.Mutex // guards writes of memberships and members, and:
	count int        // of members
	swept int64      // instant of the latest sweep
}

const (
	maxMemberships = 1000 // of one pool; the least recently used is evicted
	maxListed      = 4    // times dynamic_limit: upstreams in all memberships together
)

var seed = maphash.MakeSeed()

// findDynamic is find for dynamic upstreams.
func (p *Pool) findDynamic(upstreams []*reverseproxy.Upstream, q *Query) {
	d, now := &p.dynamic, q.now()
	ms := d.latest.Load()
	if ms == nil || !ms.item.UsedSince(now-int64(p.expiry)) || !ms.fill(&q.buffers.listed, upstreams) {
		ms = p.membershipOf(upstreams, now)
		ms.fill(&q.buffers.listed, upstreams)
		d.show(ms)
	}
	ms.seen(now)
	if now-d.asked.Load() > int64(cache.Tick) {
		d.asked.Store(now)
	}
	q.membership, q.listed = ms, q.buffers.listed
}

// fill puts the upstreams into the buffer in the order of the membership's members.
// It returns false if they are not the members.
func (ms *membership) fill(buffer *[]*reverseproxy.Upstream, upstreams []*reverseproxy.Upstream) bool {
	clear(*buffer)
	*buffer = slices.Grow((*buffer)[:0], len(ms.members))[:len(ms.members)]
	distinct := 0
	for _, u := range upstreams {
		i, ok := ms.index[u.Dial]
		if !ok {
			return false
		}
		if (*buffer)[i] == nil {
			(*buffer)[i] = u
			distinct++
		}
	}
	return distinct == len(ms.members)
}

// seen notes that the members were returned by a source.
func (ms *membership) seen(now int64) {
	if !ms.item.Use(now) {
		return
	}
	ms.past.Use(now)
	for _, m := range ms.members {
		m.seen.Store(now)
	}
}

// membershipOf returns the membership of the upstreams. It builds one if there is
// none.
func (p *Pool) membershipOf(upstreams []*reverseproxy.Upstream, now int64) *membership {
	p.meetSource()
	var print uint64 // the same for any order
	for _, u := range upstreams {
		print += maphash.String(seed, u.Dial)
	}
	var buffer []*reverseproxy.Upstream
	d := &p.dynamic
	find := func() *membership {
		item := d.memberships.Get(print)
		// A membership that was not used for some time may have members that are no
		// longer checked.
		if item == nil || !item.UsedSince(now-int64(p.expiry)) || !item.Value.fill(&buffer, upstreams) {
			return nil
		}
		return item.Value
	}
	if ms := find(); ms != nil {
		return ms
	}
	p.building.Lock() // so that no flip is lost between reading and storing
	defer p.building.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	if ms := find(); ms != nil {
		return ms // another request has built it
	}
	ms := &membership{print: print, index: make(map[string]int, len(upstreams))}
	ms.past = cache.NewEntry(new(history), 1, now)
	closed := p.isClosed()
	if !closed {
		ms.past = p.historyOf(strconv.FormatUint(print, 36), true, now)
	}
	ms.history = ms.past.Value
	fresh := make(map[*member]bool)
	for _, u := range upstreams {
		if _, ok := ms.index[u.Dial]; ok {
			continue
		}
		m, isNew := p.track(u.Dial, closed, now)
		fresh[m] = isNew
		ms.index[u.Dial] = len(ms.members)
		ms.members = append(ms.members, m)
	}
	noteJoined(ms.members, func(m *member) bool { return fresh[m] }, now)
	ms.arrange()
	p.makeSessions(ms)
	p.build(ms)
	ms.item = cache.NewEntry(ms, len(ms.members), now)
	d.gone(d.memberships.Put(print, ms.item, maxMemberships, max(maxListed*p.limit, len(ms.members))))
	if !closed { // else everything was released
		p.sweep(now)
		p.sourceChanged() // a request may have had an answer of before a change
	}
	return ms
}

// track returns the member with the given address; a new one if there is none, or if
// its watches have ended since a source last returned it. IsNew is whether the pool
// remembered nothing of the address. Both mutexes are held: building and d.mu.
func (p *Pool) track(address string, closed bool, now int64) (m *member, isNew bool) {
	d := &p.dynamic
	if known, ok := d.members.Load(address); ok {
		m = known.(*member)
		if len(m.watches) == 0 || !m.watches[0].Closed() {
			m.seen.Store(now)
			return m, false
		}
		p.dropMember(m, true)
	}
	if closed || d.count >= p.limit {
		if !closed && p.fullLog.Allow(now) {
			p.log().Warn("dynamic_limit reached: further upstreams are neither checked nor ejected",
				zap.Int("dynamic_limit", p.limit), zap.String("upstream", address))
		}
		return p.untracked(address), false
	}
	m, isNew, _ = p.newMember(address, now)
	m.seen.Store(now)
	if err := p.watch(m, func(t time.Time) bool { return p.gone(m, instant.Of(t)) }); err != nil {
		p.log().Error("upstream is not checked", zap.String("upstream", address), zap.Error(err))
	}
	d.members.Store(address, m)
	d.count++
	if p.source.byRequest {
		d.expiry.Before(now + int64(p.expiry) + 1)
	}
	return m, isNew
}

// dropMember removes a member. With remember, what is known of its address stays for a
// while. d.mu is held.
func (p *Pool) dropMember(m *member, remember bool) {
	p.dynamic.members.Delete(m.address)
	p.dynamic.count--
	p.endSeeking(m)
	p.endComeback(m, m.returning.Load())
	p.release(m, remember)
}

// gone reports whether the source has not returned the member for longer than members
// are kept. Where clients do not choose names, members stay while no request comes.
func (p *Pool) gone(m *member, now int64) bool {
	seen := m.seen.Load()
	return now-seen > int64(p.expiry) && (p.source.byRequest || p.dynamic.asked.Load()-seen > 2*int64(cache.Tick))
}

// expire drops what no request has asked for in a while.
func (p *Pool) expire() {
	p.building.Lock()
	defer p.building.Unlock()
	d := &p.dynamic
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.isClosed() {
		return
	}
	now := instant.Now()
	d.swept = 0
	p.sweep(now)
	if d.count > 0 {
		d.expiry.Before(now + max(int64(p.expiry)/2, int64(cache.Tick)))
	}
}

// sweep drops the memberships that no request has asked for in a while, and the
// members that are in none. Both mutexes are held: building and d.mu.
func (p *Pool) sweep(now int64) {
	d := &p.dynamic
	if now-d.swept < int64(min(p.expiry, time.Minute)) {
		return
	}
	d.swept = now
	p.memory.tidy(now, max(keepUnused, int64(p.expiry), int64(p.options.FailbackDelay)))
	d.gone(d.memberships.Expire(now - int64(p.expiry)))
	kept := make(map[*member]bool)
	for _, ms := range d.all() {
		for _, m := range ms.members {
			kept[m] = true
		}
	}
	p.dropMembers(func(m *member) bool { return !kept[m] && p.gone(m, now) }, false)
}

// dropMembers removes the members that are unwanted. Both mutexes are held: building and
// d.mu.
func (p *Pool) dropMembers(unwanted func(*member) bool, remember bool) {
	var watches []*healthcheck.Watch
	p.dynamic.members.Range(func(_, value any) bool {
		if m := value.(*member); unwanted(m) {
			watches = append(watches, m.watches...)
			p.dropMember(m, remember)
		}
		return true
	})
	// In the background, without the mutexes: a checker may take long to end.
	end := func() { healthcheck.Close(time.Now().Add(app.ClosePatience), watches...) }
	if len(watches) > 0 && !p.background(end) {
		end()
	}
}

// all returns the memberships.
func (d *dynamics) all() (memberships []*membership) {
	d.memberships.Each(func(ms *membership) bool {
		memberships = append(memberships, ms)
		return true
	})
	return memberships
}

// close forgets all members. The memberships stay, for the requests that are still in
// flight.
func (d *dynamics) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.members.Clear()
	d.count = 0
}
