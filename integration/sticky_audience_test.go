package integration

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// manner is how clients are told where their session is, and tell it.
type manner struct {
	told, sent string // fields of responses and of requests
	prefix     string // of the values that matter
}

var (
	byCookie = manner{"Set-Cookie", "Cookie", "lb="}
	byHeader = manner{"X-Session", "X-Session", ""}
)

// visitor is a client with a session of its own.
type visitor struct {
	token string // what it was told last
	at    string // who has answered last
}

// audience is many of them.
type audience struct {
	t *testing.T
	p *proxy
	manner
	all []*visitor

	mu     sync.Mutex
	names  map[string]string // whom a token stands for
	errors int
}

func newAudience(t *testing.T, p *proxy, m manner) *audience {
	return &audience{t: t, p: p, manner: m, names: make(map[string]string)}
}

// came is what came of one request by each visitor.
type came struct {
	stayed  int
	moved   int // they were told once; newcomers as well
	renewed int // of those that stayed: told again
	failed  int
}

func (c came) plus(d came) came {
	return came{c.stayed + d.stayed, c.moved + d.moved, c.renewed + d.renewed, c.failed + d.failed}
}

func (c came) String() string {
	return fmt.Sprintf("%d stayed, %d of them told again, %d moved, %d failed", c.stayed, c.renewed, c.moved, c.failed)
}

// join has n more visitors make their first request.
func (c *audience) join(n int) []*visitor {
	c.t.Helper()
	others := len(c.all)
	for range n {
		c.all = append(c.all, new(visitor))
	}
	newcomers := c.all[others:]
	if got, want := c.have(newcomers), (came{moved: n}); got != want {
		c.t.Errorf("first requests: %v, want %v", got, want)
	}
	return newcomers
}

// visit has all of them make a request.
func (c *audience) visit(when string, want came) {
	c.t.Helper()
	if got := c.have(c.all); got != want {
		c.t.Errorf("%s: %v, want %v", when, got, want)
	} else {
		c.t.Logf("%s: %v", when, got)
	}
}

// have has these make a request each, some at a time.
func (c *audience) have(visitors []*visitor) (sum came) {
	var next atomic.Int64
	var mu sync.Mutex
	var done sync.WaitGroup
	for range 3 {
		done.Go(func() {
			for n := int(next.Add(1)); n <= len(visitors); n = int(next.Add(1)) {
				one := c.one(visitors[n-1])
				mu.Lock()
				sum = sum.plus(one)
				mu.Unlock()
			}
		})
	}
	done.Wait()
	return sum
}

// keepComing has all of them make requests, one round after the other. The sum is
// what came of them, once that is stopped.
func (c *audience) keepComing() (rounds *repeated, sum *came) {
	sum = new(came)
	return repeatedly(c.t, func() { *sum = sum.plus(c.have(c.all)) }), sum
}

// one has a visitor make a request.
func (c *audience) one(v *visitor) came {
	var header []string
	if v.token != "" {
		header = []string{c.sent, v.token}
	}
	a := c.p.get("/", header...)
	if a.err != nil || a.status != http.StatusOK {
		return came{failed: 1}
	}
	tokens, before := c.tokens(a), v.at
	v.at = a.from()
	switch {
	case len(tokens) > 1:
		c.errorf("%v has told it more than once: %q", a, tokens)
	case len(tokens) == 0 && v.at != before:
		c.errorf("%v has not told %q that it has moved", a, v.token)
	case len(tokens) == 1:
		v.token = tokens[0]
		c.stands(v.token, v.at)
	}
	if v.at != before {
		return came{moved: 1}
	}
	return came{stayed: 1, renewed: len(tokens)}
}

// tokens returns what the answer tells.
func (c *audience) tokens(a answer) (tokens []string) {
	for _, value := range a.header.Values(c.told) {
		if strings.HasPrefix(value, c.prefix) {
			value, _, _ = strings.Cut(value, ";")
			tokens = append(tokens, value)
		}
	}
	return tokens
}

// stands notes whom a token stands for, which may not change.
func (c *audience) stands(token, name string) {
	c.mu.Lock()
	other, known := c.names[token]
	c.names[token] = name
	c.mu.Unlock()
	if known && other != name {
		c.errorf("%q came from %s and from %s", token, other, name)
	}
}

// errorf fails the test, and says why the first few times.
func (c *audience) errorf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.errors++; c.errors > 5 {
		c.t.Fail()
		return
	}
	c.t.Errorf(format, args...)
}

// with returns how many of the sessions are with the backend.
func with(name string, visitors []*visitor) (n int) {
	for _, v := range visitors {
		if v.at == name {
			n++
		}
	}
	return n
}
