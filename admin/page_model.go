package admin

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

const (
	maxRows   = 2000 // upstreams that the page shows, all pools together
	minRows   = 10   // of them, of each pool at least
	shownLast = 20   // events
)

// pageModel is what the page shows at a time. All its texts are as people read them:
// the page that the server makes and the one that the script keeps up to date are alike.
type pageModel struct {
	Summary string
	Pools   []pagePool
	Orders  []pageOrder
	Events  []pageEvent
	Shape   string // changes with the pools and upstreams, and their order
}

type pagePool struct {
	ID      string // of its element
	Name    string
	Summary string
	Paused  bool
	Groups  []pageGroup
	Hidden  string // says how many upstreams are not shown; empty for none
}

// pageGroup is a level of a pool, or its backups.
type pageGroup struct {
	ID      string
	Name    string // empty where the pool has but one group
	Summary string
	Rows    []pageRow
}

type pageRow struct {
	ID      string
	Address string
	State   pool.Code
	Why     string
	Since   string // RFC 3339; empty for unknown
	Weight  string
	numbers
}

// numbers are those that the page draws: requests in flight, the share of traffic in
// percent, the latency in milliseconds, below 0 for none.
type numbers struct{ Flying, Share, Latency float64 }

type pageOrder struct {
	Pool, Address          string // empty for all pools, and for an order of the pool
	What, Why, Given, Ends string
	Dormant                bool
}

type pageEvent struct{ Time, Pool, Upstream, What, Why string }

// Word is the state in words.
func (r *pageRow) Word() string { return wordOf(r.State) }

func wordOf(c pool.Code) string { return strings.ReplaceAll(string(c), "_", " ") }

func (n numbers) FlyingText() string { return strconv.Itoa(int(n.Flying)) }

func (n numbers) ShareText() string { return strconv.FormatFloat(n.Share, 'f', 1, 64) + " %" }

func (n numbers) LatencyText() string {
	switch {
	case n.Latency < 0:
		return "–"
	case n.Latency < 10:
		return strconv.FormatFloat(n.Latency, 'f', 1, 64) + " ms"
	}
	return strconv.FormatFloat(n.Latency, 'f', 0, 64) + " ms"
}

// inService are the states in which an upstream gets new requests.
var inService = []pool.Code{pool.Up, pool.SlowStarting, pool.Degraded, pool.Probation, pool.Full}

func serves(u *pool.UpstreamView) bool { return slices.Contains(inService, u.State) }

// modelOf returns what the page shows of the pools, orders and events.
func modelOf(views []pool.View, given []listedOrder, events []pool.Event) *pageModel {
	m := new(pageModel)
	total, limit := 0, 0
	states := make(map[pool.Code]int)
	for i := range views {
		total += len(views[i].Upstreams)
		for j := range views[i].Upstreams {
			states[views[i].Upstreams[j].State]++
		}
	}
	if total > maxRows {
		limit = max(maxRows/len(views), minRows)
	}
	shape := fnv.New64a()
	for i := range views {
		p := poolOf(&views[i], fmt.Sprintf("p%d", i), limit)
		fmt.Fprintf(shape, "%q %v\n", p.Name, p.Paused)
		for _, g := range p.Groups {
			fmt.Fprintf(shape, "%q\n", g.Name)
			for j := range g.Rows {
				fmt.Fprintf(shape, "%q\n", g.Rows[j].Address)
			}
		}
		m.Pools = append(m.Pools, p)
	}
	m.Shape = strconv.FormatUint(shape.Sum64(), 36)
	m.Summary = fmt.Sprintf("%s in %s", count(total, "upstream"), count(len(views), "pool"))
	for _, c := range pool.Codes {
		if n := states[c]; n > 0 {
			m.Summary += fmt.Sprintf(" · %d %s", n, wordOf(c))
		}
	}
	for _, o := range given {
		m.Orders = append(m.Orders, orderOf(o))
	}
	for _, e := range slices.Backward(events[max(0, len(events)-shownLast):]) {
		m.Events = append(m.Events, eventOf(e))
	}
	return m
}

// count says how many there are.
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// poolOf returns what the page shows of the pool, and at most so many upstreams; 0 for
// all of them.
func poolOf(v *pool.View, id string, limit int) pagePool {
	p := pagePool{ID: id, Name: v.Name, Paused: v.State == string(orders.Paused)}
	all := make([]*pool.UpstreamView, len(v.Upstreams))
	serving := 0
	for i := range v.Upstreams {
		all[i] = &v.Upstreams[i]
		if serves(all[i]) {
			serving++
		}
	}
	p.Summary = fmt.Sprintf("%s · %s · %d of %d in service", v.Policy, v.State, serving, len(all))
	if p.Paused {
		p.Summary = fmt.Sprintf("%s · %s · %d of %d in service", v.Policy, v.Reason, serving, len(all))
	}
	if v.Panic {
		p.Summary += " · panic: checks and ejections are ignored"
	}
	if v.DownSince != nil {
		p.Summary += " · all down since " + stamp(*v.DownSince)
	}
	if v.Queued > 0 {
		p.Summary += fmt.Sprintf(" · %s for room", waiting(v.Queued))
	}
	if v.Held > 0 {
		p.Summary += fmt.Sprintf(" · %s for an upstream to be back", waiting(v.Held))
	}
	if limit > 0 && len(all) > limit {
		p.Hidden = fmt.Sprintf("%d of %d upstreams, those out of service first; the admin API has all.", limit, len(all))
		slices.SortStableFunc(all, func(a, b *pool.UpstreamView) int { return cmp.Compare(rank(a), rank(b)) })
		all = all[:limit]
	}
	slices.SortStableFunc(all, func(a, b *pool.UpstreamView) int { return cmp.Compare(groupOf(a), groupOf(b)) })
	for _, u := range all {
		if n := len(p.Groups); n == 0 || p.Groups[n-1].Name != nameOfGroup(u) {
			p.Groups = append(p.Groups, pageGroup{ID: fmt.Sprintf("%sg%d", id, n), Name: nameOfGroup(u)})
		}
		g := &p.Groups[len(p.Groups)-1]
		g.Rows = append(g.Rows, rowOf(u, fmt.Sprintf("%sr%d", g.ID, len(g.Rows))))
	}
	if len(p.Groups) == 1 {
		p.Groups[0].Name = ""
	}
	for i := range p.Groups {
		g := &p.Groups[i]
		serving := 0
		for j := range g.Rows {
			if slices.Contains(inService, g.Rows[j].State) {
				serving++
			}
		}
		g.Summary = fmt.Sprintf("%d of %d in service", serving, len(g.Rows))
	}
	return p
}

func waiting(n int) string {
	if n == 1 {
		return "1 request waits"
	}
	return fmt.Sprintf("%d requests wait", n)
}

// rank orders those in service last.
func rank(u *pool.UpstreamView) int {
	if serves(u) {
		return 1
	}
	return 0
}

// groupOf orders upstreams by level, backups last.
func groupOf(u *pool.UpstreamView) int {
	if u.Configured.Backup {
		return math.MaxInt
	}
	return u.Configured.Level
}

func nameOfGroup(u *pool.UpstreamView) string {
	if u.Configured.Backup {
		return "Backups"
	}
	return fmt.Sprintf("Level %d", u.Configured.Level)
}

func rowOf(u *pool.UpstreamView, id string) pageRow {
	r := pageRow{ID: id, Address: u.Address, State: u.State, Why: u.Reason}
	if u.Dialled != "" && u.Dialled != u.Address {
		r.Why += " (dialled: " + u.Dialled + ")"
	}
	if u.Since != nil {
		r.Since = stamp(*u.Since)
	}
	r.Weight = strconv.FormatFloat(u.Weight, 'f', -1, 64)
	if configured := strconv.FormatUint(uint64(u.Configured.Weight), 10); configured != r.Weight {
		r.Weight += " (" + configured + " configured)"
	}
	r.Flying = float64(u.InFlight)
	r.Share = math.Round(u.Share*1000) / 10
	r.Latency = -1
	if u.LatencyMS != nil {
		r.Latency = *u.LatencyMS
		if digits := 10.0; r.Latency < digits {
			r.Latency = math.Round(r.Latency*digits) / digits
		} else {
			r.Latency = math.Round(r.Latency)
		}
	}
	return r
}

func orderOf(o listedOrder) pageOrder {
	p := pageOrder{Pool: o.Pool, Address: o.Address, What: o.String(), Why: o.Reason, Given: stamp(o.Given), Dormant: o.Dormant}
	if o.Ends != nil {
		p.Ends = stamp(*o.Ends)
	}
	return p
}

func eventOf(e pool.Event) pageEvent {
	p := pageEvent{Time: stamp(e.Time), Pool: e.Pool, Upstream: e.Upstream, What: string(e.Kind), Why: e.Reason}
	switch {
	case e.From != "" && e.To != "":
		p.What = wordOf(pool.Code(e.From)) + " → " + wordOf(pool.Code(e.To))
	case e.To != "":
		p.What += ": " + wordOf(pool.Code(e.To))
	}
	return p
}

// stamp writes a time as the page does where no script shows it in a nicer way.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
