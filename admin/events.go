package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool"
)

// heartbeat is how often a stream without events says that it is there, so that a client
// that has gone is noticed.
const heartbeat = 15 * time.Second

// streamEvents sends events as they happen, in the format of server-sent events. A client
// that reconnects with Last-Event-ID gets those that it has missed, of the latest 200. The
// stream ends with its server: Caddy replaces that at each load of a configuration.
func streamEvents(w http.ResponseWriter, r *http.Request) error {
	closing := closingOf(r) // first: who has read something of the stream may shut the server down
	after, _ := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64)
	events, end := pool.Events.Listen(after)
	defer end()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // that of the admin server would end the request after ten seconds
	_ = control.SetWriteDeadline(time.Time{})
	if _, err := fmt.Fprint(w, ": events\n\n"); err != nil {
		return nil
	}
	_ = control.Flush()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		text := ": still here\n\n"
		select {
		case <-r.Context().Done():
			return nil
		case <-closing:
			return nil
		case e := <-events:
			data, _ := json.Marshal(e) // texts and times: no error
			text = fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", e.ID, e.Kind, data)
		case <-beat.C:
		}
		if _, err := fmt.Fprint(w, text); err != nil {
			return nil
		}
		_ = control.Flush()
	}
}
