package pool

import (
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/queue"
)

// late is a picker during whose first look the upstream becomes free.
type late struct {
	inOrder
	looks *int
	u     *reverseproxy.Upstream
}

func (l late) Pick(q *Query) int {
	picked := l.inOrder.Pick(q)
	*l.looks++
	if *l.looks == 1 {
		busy(l.u, 0)
	}
	return picked
}

// Between finding nobody with room and asking who is full, a request may end.
func TestRoomBetweenTwoLooksIsTaken(t *testing.T) {
	b := newPool(t, Options{Queue: &queue.Options{Length: 1}}, 1)
	u, looks := b.statics[0], 0
	u.MaxRequests = 1
	busy(u, 1)
	b.use(late{u: u, looks: &looks}, Features{})
	q := new(Query)
	b.handle.find(b.statics, q)
	if got, full := b.handle.look(q); got != u || looks != 2 {
		t.Errorf("picked %v after %d looks, %+v", got, looks, full)
	}
}
