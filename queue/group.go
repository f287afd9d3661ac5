package queue

import (
	"container/list"
	"slices"
	"strings"
	"time"
)

// Key tells groups apart.
type Key struct {
	Set     any    // stands for the upstreams that there are; comparable
	Tried   string // addresses that the request does not go to: see [Listed]
	Own     string // address of the session's upstream, if only its sessions go there or OwnOnly is set; else empty
	OwnOnly bool   // the request goes to no other upstream
}

// Listed returns the addresses as [Key.Tried] has them: sorted, each followed by a
// line feed.
func Listed(addresses []string) string {
	slices.Sort(addresses)
	var b strings.Builder
	for _, a := range addresses {
		b.WriteString(a)
		b.WriteByte('\n')
	}
	return b.String()
}

// wants reports whether room at the address may serve the group.
func (k *Key) wants(address string) bool {
	if k.OwnOnly || k.Own == address {
		return k.Own == address
	}
	return !strings.HasPrefix(k.Tried, address+"\n") && !strings.Contains(k.Tried, "\n"+address+"\n")
}

// group is the requests that wait for the same upstreams. It is never empty.
type group struct {
	key     Key
	latest  Look                   // of the first of the group, in vain
	since   time.Time              // when latest became what it is, as far as its class goes
	waited  [classes]time.Duration // how long the group has waited by each class, until then
	element *list.Element          // in the queue's order
	waiters list.List              // of *waiter, in the order in which they came
}

// waitedBy returns how long the group has waited by the class.
func (g *group) waitedBy(class int) time.Duration {
	if g.latest.Wait.class() == class {
		return g.waited[class] + time.Since(g.since)
	}
	return g.waited[class]
}

// found notes what the first of the group has found in vain.
func (g *group) found(l Look) {
	if was := g.latest.Wait.class(); was != l.Wait.class() {
		g.waited[was], g.since = g.waitedBy(was), time.Now()
	}
	g.latest = l
}

func (g *group) first() *waiter { return g.waiters.Front().Value.(*waiter) }
