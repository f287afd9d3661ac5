package pool

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/cache"
	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/internal/request"
)

// source is what a handler's dynamic source is known to ask for.
type source struct {
	// All that its answers depend on besides its configuration: texts with
	// placeholders. Nil where that is not known.
	asks []string

	// What it is known by: what it asks for where that is known, else all of its
	// configuration. Empty where there is no source.
	names []string

	// Some of the placeholders are the request's: clients choose what is asked.
	byRequest bool

	last  atomic.Pointer[returned]       // where clients have no choice
	lasts cache.Cache[string, *returned] // by what was asked, where they have
}

// returned is what a source has returned.
type returned struct {
	upstreams reverseproxy.UpstreamPool
	at        int64
}

// maxAsked is how many different questions of clients' choice a source's last
// answers are kept of.
const maxAsked = 1000

// configure takes in the source's configuration; empty where there is no source.
func (s *source) configure(config json.RawMessage) {
	s.asks = asksOf(config)
	s.names = namesOf(config)
	for _, text := range s.asks {
		if _, err := caddy.NewReplacer().ReplaceOrErr(text, false, true); err != nil {
			s.byRequest = true
		}
	}
}

// asksOf returns the texts that tell what Caddy's own sources ask for; nil for
// other sources, whose answers may depend on anything.
func asksOf(config json.RawMessage) (asks []string) {
	var c struct {
		Source  string            `json:"source"`
		Service string            `json:"service"`
		Proto   string            `json:"proto"`
		Name    string            `json:"name"`
		Port    string            `json:"port"`
		Sources []json.RawMessage `json:"sources"`
	}
	if json.Unmarshal(config, &c) != nil {
		return nil
	}
	switch c.Source {
	case "a":
		return []string{c.Name, c.Port}
	case "srv":
		return []string{c.Service, c.Proto, c.Name}
	case "multi":
		for _, inner := range c.Sources {
			more := asksOf(inner)
			if more == nil {
				return nil
			}
			asks = append(asks, more...)
		}
	}
	return asks
}

// namesOf returns what tells sources of the configuration apart.
func namesOf(config json.RawMessage) (names []string) {
	if len(config) == 0 {
		return nil
	}
	var multi struct {
		Source  string            `json:"source"`
		Sources []json.RawMessage `json:"sources"`
	}
	if json.Unmarshal(config, &multi) == nil && multi.Source == "multi" {
		for _, inner := range multi.Sources {
			names = append(names, namesOf(inner)...)
		}
		return names
	}
	if asks := asksOf(config); asks != nil {
		return []string{fmt.Sprintf("dynamic %s %q", multi.Source, asks)}
	}
	return []string{"dynamic " + string(config)}
}

// question returns what the source asks for on behalf of the request. Each text has
// its length before it, so that no two questions look alike, whatever clients make
// of them.
func (s *source) question(r *http.Request) (question string, ok bool) {
	repl := request.Replacer(r)
	if repl == nil {
		return "", false
	}
	var b []byte
	for _, text := range s.asks {
		text = repl.ReplaceAll(text, "")
		b = strconv.AppendInt(b, int64(len(text)), 10)
		b = append(append(b, ':'), text...)
	}
	return string(b), true
}

// keep keeps what the source has returned for the request. All together keep no
// more upstreams than given, but for the latest.
func (s *source) keep(upstreams reverseproxy.UpstreamPool, r *http.Request, now int64, most int) {
	if s.asks == nil {
		return
	}
	if !s.byRequest {
		if last := s.last.Load(); last == nil || now-last.at > int64(cache.Tick) {
			s.last.Store(&returned{upstreams, now})
		}
		return
	}
	question, ok := s.question(r)
	if !ok {
		return
	}
	if last := s.lasts.Get(question); last == nil || last.Use(now) {
		s.lasts.Put(question, cache.NewEntry(&returned{upstreams, now}, len(upstreams), now), maxAsked, most)
	}
}

// lastFor returns what the source has returned last for what the request asks; nil
// if that is not known.
func (s *source) lastFor(r *http.Request) *returned {
	if !s.byRequest {
		return s.last.Load()
	}
	if question, ok := s.question(r); ok {
		if last := s.lasts.Get(question); last != nil {
			return last.Value
		}
	}
	return nil
}

// lastKnown returns what the source has returned for the same question when it
// still returned anything: those upstreams may well live on where their names do
// not. They are believed for as long as addresses are kept.
func (p *Pool) lastKnown(r *http.Request) reverseproxy.UpstreamPool {
	last, now := p.source.lastFor(r), instant.Now()
	if last == nil || now-last.at > int64(p.expiry) {
		return nil
	}
	if p.goneLog.Allow(now) {
		p.logger.Warn("the source returns no upstreams: those that it returned last go on",
			zap.Int("upstreams", len(last.upstreams)))
	}
	return last.upstreams
}
