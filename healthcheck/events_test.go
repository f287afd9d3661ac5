package healthcheck

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// Of two pools with one check of one address, one probes it, and both have it
// fail by a response: a listener, however slow, gets the events in order.
func TestEventsOfASubjectComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRecorder()
		options := `{"interval":"1s","timeout":"500ms","jitter":0,"passes":1,"on_response":{}}`
		first := newConfig(t, options, b.probe).watch(1, nil).start()
		second := *first.check
		second.group = newGroup(t, first.check.ctx)
		other, err := second.Watch(address(0), func() {}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var heard []string
		slow := listener(func(e caddy.Event) {
			pause := time.Duration(0)
			if e.Name() == "unhealthy" {
				pause = 2500 * time.Millisecond
			}
			time.Sleep(pause)
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, e.Name())
		})
		if err := first.check.events.On("", slow); err != nil {
			t.Fatal(err)
		}
		sleep(2 * time.Second)
		for range 5 {
			first.own[0].Response(saysFail)
			sleep(2 * time.Second)
			other.Response(saysFail)
			sleep(2 * time.Second)
		}
		sleep(time.Minute)
		Close(time.Now(), other)
		mu.Lock()
		defer mu.Unlock()
		want := slices.Repeat([]string{"unhealthy", "healthy"}, 10)
		if !slices.Equal(heard, want) {
			t.Errorf("heard %s", strings.Join(heard, " "))
		}
	})
}

func TestSlowListenersHoldUpNoProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newRecorder()
		b.set(0, errFailed)
		c := newConfig(t, `{"interval":"1s","timeout":"500ms","jitter":0}`, b.probe)
		finish := make(chan struct{})
		if err := c.check.events.On("unhealthy", listener(func(caddy.Event) { <-finish })); err != nil {
			t.Fatal(err)
		}
		told := 0
		c.watch(1, func() { told++ }).start()
		sleep(2 * time.Second)
		b.set(0, nil)
		sleep(10 * time.Second)
		if c.verdict() != Healthy || told != 2 {
			t.Errorf("%v, told of %d changes", c.verdict(), told)
		}
		close(finish)
	})
}
