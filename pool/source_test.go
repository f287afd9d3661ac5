package pool

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/cache"
)

// asking is a request whose placeholders have the given values, by turns.
func asking(values ...string) *http.Request {
	repl := caddy.NewEmptyReplacer()
	for i := 0; i+1 < len(values); i += 2 {
		repl.Set(values[i], values[i+1])
	}
	r := get()
	return r.WithContext(context.WithValue(r.Context(), caddy.ReplacerCtxKey, repl))
}

func TestWhatASourceDependsOn(t *testing.T) {
	t.Setenv("EVENKEEL_TEST_NAME", "pool.test")
	for config, want := range map[string]struct{ known, byRequest bool }{
		``:                            {false, false},
		`{"source":"third_party"}`:    {false, false},
		`{"source":"a","name":"{x`:    {false, false},
		`{"source":"a","name":"h"}`:   {true, false},
		`{"source":"srv","name":"h"}`: {true, false},
		`{"source":"a","name":"{env.EVENKEEL_TEST_NAME}"}`:                                               {true, false},
		`{"source":"a","name":"{env.EVENKEEL_TEST_NONE}"}`:                                               {true, false},
		`{"source":"a","name":"h","port":"{x}"}`:                                                         {true, true},
		`{"source":"srv","service":"{x}"}`:                                                               {true, true},
		`{"source":"srv","proto":"{x}"}`:                                                                 {true, true},
		`{"source":"multi","sources":[{"source":"a","name":"h"},{"source":"srv","name":"{x}"}]}`:         {true, true},
		`{"source":"multi","sources":[{"source":"a","name":"h"},{"source":"third_party"}]}`:              {false, false},
		`{"source":"multi","sources":[{"source":"multi","sources":[{"source":"a","name":"{x}.test"}]}]}`: {true, true},
	} {
		var s source
		s.configure(json.RawMessage(config))
		if known := s.asks != nil; known != want.known || s.byRequest != want.byRequest {
			t.Errorf("%s: known %v, by request %v", config, known, s.byRequest)
		}
	}
}

func TestNoTwoQuestionsLookAlike(t *testing.T) {
	var s source
	s.configure(json.RawMessage(`{"source":"srv","service":"{a}","name":"{b}"}`))
	seen := make(map[string]string)
	values := []string{"", "x", "1:", "0:1:x", "x0:", "x:0:", "3:x", "{a}"}
	for _, a := range values {
		for _, b := range values {
			question, ok := s.question(asking("a", a, "b", b))
			if !ok {
				t.Fatal("no question")
			}
			this := fmt.Sprintf("%q %q", a, b)
			if other, twice := seen[question]; twice {
				t.Errorf("%s looks like %s", this, other)
			}
			seen[question] = this
		}
	}
}

func TestLastAnswersBelongToTheirQuestion(t *testing.T) {
	var s source
	s.configure(json.RawMessage(`{"source":"a","name":"{a}"}`))
	ticks := func(n int) int64 { return int64(time.Hour) + int64(n)*2*int64(cache.Tick) }
	for now := range 3 { // asked again and again
		s.keep(returns("mine:80"), asking("a", "mine"), ticks(now), 1<<20)
	}
	for i := range 10 * maxAsked { // once each
		s.keep(returns("theirs:80"), asking("a", fmt.Sprint(i)), ticks(10), 1<<20)
	}
	if count, _ := s.lasts.Len(); count > maxAsked {
		t.Errorf("%d answers are kept", count)
	}
	if last := s.lastFor(asking("a", "mine")); last == nil || last.upstreams[0].Dial != "mine:80" {
		t.Errorf("pushed out by names that were asked for once: %v", last)
	}
	if last := s.lastFor(asking("a", "new")); last != nil {
		t.Errorf("an answer to what was never asked: %v", last)
	}
	if last := s.lastFor(get()); last != nil {
		t.Errorf("an answer for a request without placeholders: %v", last)
	}
	before, _ := s.lasts.Len()
	s.keep(returns("a:80", "b:80", "c:80"), asking("a", "large"), ticks(20), 4)
	if count, size := s.lasts.Len(); size > 4 || count >= before || s.lastFor(asking("a", "large")) == nil {
		t.Errorf("%d answers with %d upstreams, want at most 4", count, size)
	}
}

func TestNothingIsKeptOfSourcesThatMayAnswerByAnything(t *testing.T) {
	var s source
	s.configure(json.RawMessage(`{"source":"third_party"}`))
	s.keep(returns("a:80"), asking(), 1, 100)
	if last := s.lastFor(asking()); last != nil {
		t.Error(last)
	}
}
