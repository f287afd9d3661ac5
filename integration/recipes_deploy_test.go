package integration

import (
	"net/http"
	"testing"
	"time"
)

func recipeRestart(t *testing.T, r recipe) {
	b := start(t, "a")
	p := run(t, r.site(t, 0, "app:8080", b.addr))
	p.restart(t, b, 500*time.Millisecond)

	longer := start(t, "b") // one that no outage is known of
	p.reload(r.site(t, 1, "app:8080", longer.addr))
	p.restart(t, longer, 3500*time.Millisecond)

	r.expectSays(t, "hold off")
	off := start(t, "c")
	p.reload(r.site(t, 1, "app:8080", off.addr, "hold 15s", "hold off"))
	p.expectFrom(off, 1, "hold off")
	off.stop()
	if a := p.get("/"); a.status != http.StatusBadGateway {
		t.Errorf("hold off: %v", a)
	}
}

// restart stops the backend for the given time. No request may fail meanwhile; POSTs
// begin when it is gone.
func (p *proxy) restart(t *testing.T, b *backend, lasts time.Duration) {
	t.Helper()
	l := p.load(50)
	l.awaitMore(t, 10)
	b.graceful()
	writes := p.posts(20)
	l.last(lasts)
	b.start(t)
	l.awaitMore(t, 50)
	expectNoFailure(t, l.stop())
	writes.stop()
	if len(writes.failed) > 0 {
		t.Errorf("POSTs failed: %v", writes.failed)
	}
}

func recipeDeployOfTwo(t *testing.T, r recipe) {
	b := backends(t, "a", "b")
	p := run(t, r.site(t, 0, addresses("app1:8080 app2:8080", b...)...))
	l := p.load(100)
	for _, restarted := range b {
		l.awaitMore(t, 50)
		restarted.graceful()
		l.last(500 * time.Millisecond)
		restarted.start(t)
		answered := l.answers(restarted.name)
		eventually(t, 5*time.Second, restarted.name+" has its share", func() bool { return l.answers(restarted.name) > answered+10 })
	}
	expectNoFailure(t, l.stop())
}

func recipeDeployOfFour(t *testing.T, r recipe) {
	b := backends(t, "a", "b", "c", "d")
	setHealth(b, ok)
	p := run(t, r.site(t, 0, addresses("app1:8080 app2:8080 app3:8080 app4:8080", b...)...))
	l, writes := p.load(100), p.posts(50)
	l.awaitMore(t, 50)
	for _, pair := range [][]*backend{b[:2], b[2:]} {
		setHealth(pair, status(http.StatusServiceUnavailable))
		awaitDown(t, pair...)
		l.awaitMore(t, 20) // what was picked before has been sent
		for _, leaving := range pair {
			leaving.graceful()
		}
		l.awaitMore(t, 20) // a restart takes a moment, in which Caddy notices that its idle connections are closed
		setHealth(pair, ok)
		for _, new := range pair {
			new.start(t)
		}
		for _, new := range pair {
			logs.first(t, 5*time.Second, "upstream is healthy", "upstream", new.addr)
		}
	}
	l.awaitMore(t, 50)
	expectNoFailure(t, l.stop())
	writes.stop()
	if len(writes.failed) > 0 {
		t.Errorf("of %d POSTs failed: %v", writes.made, writes.failed)
	}
}

func recipeBlueGreen(t *testing.T, r recipe) {
	b := backends(t, "blue", "green")
	blue, green := b[0], b[1]
	with := func(n int, replaced ...string) string {
		replaced = append(replaced, "{env.LB_SECRET}", "a-secret-of-some-length")
		return r.site(t, n, append(replaced, addresses("blue:8080 green:8080", b...)...)...)
	}
	p := run(t, with(0))
	old := onlyCookie(t, p.get("/"))
	p.expectFrom(blue, 5, "before")
	p.reload(with(1))
	p.expectFrom(blue, 5, "after, a session of before", "Cookie", old)
	p.expectFrom(green, 5, "after, without a session")
	young := onlyCookie(t, p.get("/"))
	p.reload(with(0))
	p.expectFrom(green, 5, "back again, a session of between", "Cookie", young)
	p.expectFrom(blue, 5, "back again, without a session")

	r.expectSays(t, "weight 0 blue:8080")
	p.reload(with(1, "priority 1 blue:8080", "weight 0 "+blue.addr))
	p.expectFrom(blue, 5, "blue has weight 0, a session of before", "Cookie", old)
	p.expectFrom(green, 5, "blue has weight 0, without a session")
	green.stop()
	waiting := make(chan answer, 1)
	go func() { waiting <- p.get("/") }()
	holds(t, 100*time.Millisecond, "it waits", func() bool { return len(waiting) == 0 })
	green.start(t)
	if a := <-waiting; a.from() != "green" {
		t.Errorf("blue has weight 0, and green was down for a while: %v", a)
	}
	green.stop()
	p.reload(with(1))
	p.expectFrom(blue, 5, "green is dead, its session", "Cookie", young)
	p.expectFrom(blue, 5, "green is dead, without a session")
}

func recipeSockets(t *testing.T, r recipe) {
	b := backends(t, "a", "b")
	setAll(b, upgrade)
	chats := addresses("chat1:8080 chat2:8080", b...)
	undrained := r.site(t, 0, append([]string{"weight 0 chat1:8080", ""}, chats...)...)
	p := run(t, undrained)
	var open []*socket
	for range 4 {
		open = append(open, p.connect(""))
	}
	p.reload(r.site(t, 0, chats...))
	for range 10 {
		if s := p.connect(""); s.from != "b" {
			t.Errorf("a new socket is with %s", s.from)
		}
	}
	onFirst := 0
	for _, s := range open {
		if s.from == "a" {
			onFirst++
		}
		if got := s.echo("still here"); got != "still here" {
			t.Errorf("a socket with %s that was open before says %q", s.from, got)
		}
	}
	if onFirst == 0 {
		t.Error("no socket was with a")
	}
	b[0].stop()
	b[0].start(t)
	p.reload(undrained)
	eventually(t, 5*time.Second, "a gets sockets again", func() bool { return p.connect("").from == "a" })
}
