package main

import (
	"bytes"
	"io"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func init() { caddy.RegisterModule(logWriter{}) }

// recent is the end of the log, and the first lines in it that tell of a panic.
type recent struct {
	mu      sync.Mutex
	lines   [4000]string
	written int
	fatal   []string
}

var logged recent

func (l *recent) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines[l.written%len(l.lines)] = line
	l.written++
	// A pool's panic, which the load balancer logs, is none of the code.
	ofPool := strings.Contains(line, `"msg":"panic: too few upstreams are healthy`) || strings.Contains(line, `"msg":"panic is over:`)
	if strings.Contains(line, "panic") && !strings.Contains(line, "panic_") && !ofPool && len(l.fatal) < 5 {
		l.fatal = append(l.fatal, line)
	}
}

func (l *recent) panics() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.fatal, "\n")
}

// forget empties the log, which is no part of what the product holds.
func (l *recent) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.lines[:])
}

// about returns the latest line that has the text.
func (l *recent) about(text string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := 1; i <= min(l.written, len(l.lines)); i++ {
		if line := l.lines[(l.written-i)%len(l.lines)]; strings.Contains(line, text) {
			return line[:min(len(line), 1000)]
		}
	}
	return "nothing"
}

// logWriter is where Caddy logs to.
type logWriter struct{}

// CaddyModule returns the Caddy module information.
func (logWriter) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.logging.writers.chaos", New: func() caddy.Module { return new(logWriter) }}
}

func (logWriter) String() string                                { return "chaos" }
func (logWriter) WriterKey() string                             { return "chaos" }
func (logWriter) OpenWriter() (io.WriteCloser, error)           { return logWriter{}, nil }
func (logWriter) Close() error                                  { return nil }
func (logWriter) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

func (logWriter) Write(text []byte) (int, error) {
	for line := range bytes.Lines(text) {
		logged.add(string(line))
	}
	return len(text), nil
}
