package pool

import (
	"testing"
	"testing/synctest"
	"time"
)

// One site cannot connect to an upstream, for want of a route, say, and goes on trying. A
// second site can, but the plugin does not connect for it. An ejection there ends after its
// duration all the same.
func TestAnotherHandlersConnectionsEndNoEjectionLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newOutage(t, Options{}, 2)
		b := reloadedOutage(t, Options{}, 2)
		for _, m := range b.static.members {
			m.connects = false
		}
		a.set(true, 0)
		for range consecutive {
			a.come()
		}
		b.expect(t, "the first site has ejected it", "es")
		for range 60 {
			time.Sleep(time.Second)
			<-b.come()
		}
		b.expect(t, "a minute later", "ss")
		if b.attempts[b.statics[0].Dial] == 0 {
			t.Error("the second site has not tried it")
		}
	})
}
