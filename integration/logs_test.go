package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func init() {
	caddy.RegisterModule(captureWriter{})
	caddy.RegisterModule(recordEvents{})
}

// records are log lines or events, with their fields as text.
type records struct {
	mu  sync.Mutex
	all []map[string]string
}

var logs, events records

func (r *records) add(fields map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, fields)
}

func (r *records) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = nil
}

// find returns those with the given message, or name, whose fields are as
// given; those are keys and values by turns.
func (r *records) find(msg string, fields ...string) (found []map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
next:
	for _, record := range r.all {
		if record["msg"] != msg {
			continue
		}
		for i := 0; i+1 < len(fields); i += 2 {
			if record[fields[i]] != fields[i+1] {
				continue next
			}
		}
		found = append(found, record)
	}
	return found
}

func (r *records) count(msg string, fields ...string) int { return len(r.find(msg, fields...)) }

// first waits for the first of the records that find would return, and returns
// when it was logged.
func (r *records) first(t *testing.T, within time.Duration, msg string, fields ...string) time.Time {
	t.Helper()
	eventually(t, within, fmt.Sprintf("%q %v", msg, fields), func() bool { return r.count(msg, fields...) > 0 })
	return at(t, r.find(msg, fields...)[0])
}

// at returns when the record was logged.
func at(t *testing.T, record map[string]string) time.Time {
	t.Helper()
	seconds, err := strconv.ParseFloat(record["ts"], 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.UnixMicro(int64(seconds * 1e6))
}

// tail returns the latest n records as text.
func (r *records) tail(n int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for i, record := range r.all {
		if i < len(r.all)-n || record["msg"] == "no upstreams available" {
			continue // one per request
		}
		fmt.Fprintf(&b, "%s %s", record["level"], record["msg"])
		keys := make([]string, 0, len(record))
		for key := range record {
			if key != "level" && key != "msg" && key != "ts" && key != "request" {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		for _, key := range keys {
			fmt.Fprintf(&b, " %s=%.200s", key, record[key])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// captureWriter is where Caddy logs to.
type captureWriter struct{}

func (captureWriter) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.logging.writers.capture", New: func() caddy.Module { return new(captureWriter) }}
}

func (captureWriter) String() string                                { return "capture" }
func (captureWriter) WriterKey() string                             { return "capture" }
func (captureWriter) OpenWriter() (io.WriteCloser, error)           { return captureWriter{}, nil }
func (captureWriter) Close() error                                  { return nil }
func (captureWriter) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

func (captureWriter) Write(text []byte) (int, error) {
	for line := range bytes.Lines(text) {
		var fields map[string]any
		if err := json.Unmarshal(line, &fields); err != nil {
			fields = map[string]any{"msg": string(line)}
		}
		logs.add(texts(fields))
	}
	return len(text), nil
}

// texts returns the fields as text.
func texts(fields map[string]any) map[string]string {
	out := make(map[string]string, len(fields))
	for key, value := range fields {
		out[key] = fmt.Sprint(value)
	}
	return out
}

// recordEvents handles Caddy's events.
type recordEvents struct{}

func (recordEvents) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.record", New: func() caddy.Module { return new(recordEvents) }}
}

func (recordEvents) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

// Handle implements caddyevents.Handler.
func (recordEvents) Handle(_ context.Context, e caddy.Event) error {
	fields := texts(e.Data)
	fields["msg"] = e.Name()
	events.add(fields)
	return nil
}
