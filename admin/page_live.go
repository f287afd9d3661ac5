package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	snapshotEvery = time.Second
	maxViewers    = 500
	lastWrite     = 500 * time.Millisecond // for a client that reads nothing, once the page ends
)

// live shows the page's snapshots to all who watch it. One goroutine makes and encodes
// them while somebody does.
type live struct {
	snapshot func() *pageModel
	gone     chan struct{} // closed when the page ends

	mu      sync.Mutex           // guards all below
	viewers map[chan []byte]bool // true: has all of what latest says
	latest  *changes             // nil while nobody watches
	stop    context.CancelFunc   // ends the goroutine; nil where there is none
	stopped chan struct{}        // closed at its end
	ended   bool                 // nobody may watch any more
}

func newLive(snapshot func() *pageModel) *live {
	return &live{snapshot: snapshot, gone: make(chan struct{})}
}

var errTooMany = errors.New("too many watch the page")

// watch returns a channel that gets what has changed on the page: first all of it. It is
// closed when the page ends. Leave must be called.
func (l *live) watch() (<-chan []byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(chan []byte, 1)
	switch {
	case l.ended:
		close(c)
		return c, nil
	case len(l.viewers) >= maxViewers:
		return nil, errTooMany
	}
	if l.viewers == nil {
		l.viewers = make(map[chan []byte]bool)
	}
	l.viewers[c] = false
	if l.stop == nil {
		var ctx context.Context
		ctx, l.stop = context.WithCancel(context.Background())
		l.stopped = make(chan struct{})
		go l.run(ctx, l.stopped)
	} else if l.latest != nil {
		l.viewers[c] = true
		c <- encode(l.latest)
	}
	return c, nil
}

// leave ends a watch. After the last one it waits for the goroutine to end.
func (l *live) leave(c <-chan []byte) {
	l.mu.Lock()
	for v := range l.viewers {
		if v == c {
			delete(l.viewers, v)
		}
	}
	var stopped chan struct{}
	if len(l.viewers) == 0 {
		stopped = l.halt()
	}
	l.mu.Unlock()
	if stopped != nil {
		<-stopped
	}
}

// end ends all watches, and waits for the goroutine to end.
func (l *live) end() {
	l.mu.Lock()
	if !l.ended {
		close(l.gone)
	}
	l.ended = true
	for v := range l.viewers {
		close(v)
	}
	clear(l.viewers)
	stopped := l.halt()
	l.mu.Unlock()
	if stopped != nil {
		<-stopped
	}
}

// halt ends the goroutine, and returns what is closed at its end; nil where none runs.
// l.mu is held.
func (l *live) halt() chan struct{} {
	if l.stop == nil {
		return nil
	}
	l.stop()
	l.stop, l.latest = nil, nil
	return l.stopped
}

// run makes a snapshot every second.
func (l *live) run(ctx context.Context, stopped chan struct{}) {
	defer close(stopped)
	ticker := time.NewTicker(snapshotEvery)
	defer ticker.Stop()
	for {
		l.publish(ctx, l.snapshot().all())
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// publish tells all viewers what has changed. One that has not taken what it was told
// before is told all instead.
func (l *live) publish(ctx context.Context, now *changes) {
	l.mu.Lock()
	before := l.latest
	l.mu.Unlock()
	var changed []byte
	if before != nil && before.Shape == now.Shape {
		changed = encode(now.since(before))
	}
	all := sync.OnceValue(func() []byte { return encode(now) })
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	l.latest = now
	for c, current := range l.viewers {
		text := changed
		select {
		case <-c:
			current = false
		default:
		}
		if !current || text == nil {
			text = all()
		}
		c <- text // this goroutine alone sends once it runs, under the mutex: there is room
		l.viewers[c] = true
	}
}

// encode returns the changes as a server-sent event.
func encode(c *changes) []byte {
	data, _ := json.Marshal(c) // texts and finite numbers: no error
	return fmt.Appendf(nil, "data: %s\n\n", data)
}

// stream sends the events of the page until the client goes away or the page ends.
func (l *live) stream(w http.ResponseWriter, r *http.Request) error {
	events, err := l.watch()
	if err != nil {
		return fail(http.StatusServiceUnavailable, err)
	}
	defer l.leave(events)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // of an NGINX in front
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // that of the server would end the request
	_ = control.SetWriteDeadline(time.Time{})
	var interrupting sync.WaitGroup
	done := make(chan struct{})
	interrupting.Go(func() { l.interrupt(control, done) })
	defer interrupting.Wait()
	defer close(done)
	text := []byte("retry: 1000\n\n")
	for {
		if _, err := w.Write(text); err != nil {
			return nil
		}
		_ = control.Flush()
		select {
		case <-r.Context().Done():
			return nil
		case next, ok := <-events:
			if !ok {
				return nil
			}
			text = next
		}
	}
}

// interrupt ends the writing to a client that reads nothing, once the page ends: Caddy
// waits for the handler.
func (l *live) interrupt(control *http.ResponseController, done <-chan struct{}) {
	select {
	case <-l.gone:
	case <-done:
		return
	}
	ticker := time.NewTicker(lastWrite)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C: // each write sets a deadline anew
			_ = control.SetWriteDeadline(time.Unix(1, 0))
		case <-done:
			return
		}
	}
}
