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

// source is a handler's dynamic source: what it asks for, and its last answers.
type source struct {
	// Texts with placeholders that its answers depend on. Nil where that is not known.
	asks []string

	// Names that recognise it over a reload: what it asks for where that is known, else
	// its whole configuration. Empty where there is no source.
	names []string

	roster string // name of the roster that it is; empty for another source

	// Some of the placeholders are the request's: clients choose what is asked.
	byRequest bool

	last  atomic.Pointer[returned]       // the last answer, unless byRequest
	lasts cache.Cache[string, *returned] // the last answers by question, if byRequest

	followed followed // where it says more of its upstreams

	emptySince atomic.Int64 // instant since which it returns no upstreams; 0 for it does
	waiting    atomic.Int64 // requests that wait for it to return some
}

// returned is what a source has returned.
type returned struct {
	upstreams reverseproxy.UpstreamPool
	at        int64 // instant
}

// maxAsked is to how many questions a source's last answers are kept, where clients
// choose them.
const maxAsked = 1000

// configure sets the source up from its configuration, which is empty where there is no
// source.
func (s *source) configure(config json.RawMessage) {
	s.asks = asksOf(config)
	s.names, s.roster = namesOf(config), rosterOf(config)
	for _, text := range s.asks {
		if _, err := caddy.NewReplacer().ReplaceOrErr(text, false, true); err != nil {
			s.byRequest = true
		}
	}
}

// asksOf returns what one of Caddy's own sources asks for; nil for other sources, whose
// answers may depend on anything.
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

// namesOf returns the names that recognise a source of the configuration.
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
	if name := rosterOf(config); name != "" {
		return []string{"dynamic roster " + name} // whatever its members are
	}
	return []string{"dynamic " + string(config)}
}

// question returns what the source asks for on behalf of the request. The length
// before each text keeps different questions different, whatever clients write.
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

// keep keeps what the source has returned for the request. All answers together keep at
// most as many upstreams as given, besides the latest answer.
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

// lastFor returns the source's last answer to the request's question; nil if none is
// kept.
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

// lastKnown returns the source's last answer to the request's question that had
// upstreams: these may live on though their name no longer resolves. The answer holds
// for dynamic_expiry.
func (p *Pool) lastKnown(r *http.Request) reverseproxy.UpstreamPool {
	last, now := p.source.lastFor(r), instant.Now()
	if last == nil || now-last.at > int64(p.expiry) {
		return nil
	}
	if p.goneLog.Allow(now) {
		p.log().Warn("the source returns no upstreams: those that it returned last go on",
			zap.Int("upstreams", len(last.upstreams)))
	}
	return last.upstreams
}
