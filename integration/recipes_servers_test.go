package integration

import (
	"fmt"
	"net"
	"net/http"
	"net/http/fcgi"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// scripts is a FastCGI server.
type scripts struct {
	name, addr string
	listener   net.Listener
	slow       atomic.Int64  // scripts that run and are slow
	release    chan struct{} // closed when slow scripts end
}

// slowScript is the path of a script that is slow.
const slowScript = "/slow"

func startScripts(t *testing.T, name string) *scripts {
	s := &scripts{name: name, addr: freeAddr(), release: make(chan struct{})}
	s.start(t)
	return s
}

func (s *scripts) start(t *testing.T) {
	t.Helper()
	var err error
	if s.listener, err = net.Listen("tcp", s.addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	go fcgi.Serve(s.listener, s)
}

// stop lets scripts that run come to their end.
func (s *scripts) stop() { s.listener.Close() }

func (s *scripts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(nameHeader, s.name)
	if r.URL.Path == slowScript {
		s.slow.Add(1)
		<-s.release
	}
	fmt.Fprintf(w, "%s of %s", r.URL.Path, fcgi.ProcessEnv(r)["SCRIPT_FILENAME"])
}

func recipePHP(t *testing.T, r recipe) {
	root := t.TempDir()
	script := filepath.Join(root, "index.php")
	for file, text := range map[string]string{script: "<?php", filepath.Join(root, "style.css"): "a style"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, b := startScripts(t, "a"), startScripts(t, "b")
	p := run(t, r.site(t, 0, "fpm1:9000", a.addr, "fpm2:9000", b.addr, "/srv/blog", root))
	if got := p.get("/articles/1"); got.status != http.StatusOK || got.body != "/articles/1 of "+script {
		t.Errorf("a script: %v", got)
	}
	if got := p.get("/style.css"); got.body != "a style" {
		t.Errorf("a file: %v", got)
	}

	const asked, room = 60, 20
	answers := make(chan answer)
	for range asked {
		go func() { answers <- p.get(slowScript) }()
	}
	full := func() bool { return a.slow.Load() == room && b.slow.Load() == room }
	eventually(t, 5*time.Second, "both pools are full", full)
	holds(t, 100*time.Millisecond, "the rest waits", full)
	close(a.release)
	close(b.release)
	for range asked {
		if got := <-answers; got.status != http.StatusOK {
			t.Errorf("one of many: %v", got)
		}
	}

	l := p.load(100)
	for _, gone := range [][]*scripts{{a}, {a, b}} {
		l.awaitMore(t, 25)
		for _, s := range gone {
			s.stop()
		}
		l.last(500 * time.Millisecond)
		for _, s := range gone {
			s.start(t)
		}
	}
	l.awaitMore(t, 50)
	expectNoFailure(t, l.stop())
}

func recipeLanguageModel(t *testing.T, r recipe) {
	b := backends(t, "a", "b", "c")
	p := run(t, r.site(t, 0, addresses("gpu1:8000 gpu2:8000 gpu3:8000", b...)...))
	ask := func(session string) answer {
		return p.do(http.MethodPost, "/v1/chat", "hello", "X-Session-Id", session)
	}
	served := make(map[string]bool)
	for n := range 20 {
		session := fmt.Sprint("session-", n)
		home := ask(session).from()
		served[home] = true
		for range 5 {
			if a := ask(session); a.status != http.StatusOK || a.from() != home {
				t.Errorf("%s began on %s, and now: %v", session, home, a)
			}
		}
	}
	if len(served) != len(b) {
		t.Errorf("20 sessions are all on %v", served)
	}
	p.sequence(5) // without a session

	for _, upstream := range b {
		upstream.requests.Store(0)
	}
	release := make(chan struct{})
	setAll(b, held(release))
	const asked, room = 120, 3 * 32
	answers := make(chan answer)
	for range asked {
		go func() { answers <- ask("one that asks for much") }()
	}
	all := func() int64 { return b[0].requests.Load() + b[1].requests.Load() + b[2].requests.Load() }
	eventually(t, 5*time.Second, "all are full", func() bool { return all() == room })
	holds(t, 100*time.Millisecond, "the rest waits", func() bool { return all() == room })
	close(release)
	for range asked {
		if a := <-answers; a.status != http.StatusOK {
			t.Errorf("one of many: %v", a)
		}
	}
	t.Log(requests(b...))
}
