package integration

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// nameHeader bears the name of the backend that answered.
const nameHeader = "X-Backend"

// healthPath is what probes ask for.
const healthPath = "/health"

// backend is an HTTP server that a test can break and mend.
type backend struct {
	name, addr string
	requests   atomic.Int64 // but for probes
	probes     atomic.Int64
	serves     atomic.Pointer[http.HandlerFunc]
	health     atomic.Pointer[http.HandlerFunc] // of probes, instead of serves
	server     *http.Server
	tls        *tls.Config                     // nil: none
	wrap       func(net.Listener) net.Listener // of the listener; nil: none
	protocols  *http.Protocols                 // nil: Go's defaults
	idle       time.Duration                   // for which it keeps idle connections; 0: for ever
}

// start starts a backend that answers with its name.
func start(t *testing.T, name string) *backend {
	t.Helper()
	b := newBackend(name)
	b.start(t)
	return b
}

// backends starts several.
func backends(t *testing.T, names ...string) (all []*backend) {
	t.Helper()
	for _, name := range names {
		all = append(all, start(t, name))
	}
	return all
}

func newBackend(name string) *backend {
	b := &backend{name: name, addr: freeAddr()}
	b.set(ok)
	return b
}

// start listens, on the same address each time.
func (b *backend) start(t *testing.T) {
	t.Helper()
	var l net.Listener
	var err error
	if !await(5*time.Second, func() bool {
		l, err = net.Listen("tcp", b.addr)
		return err == nil
	}) {
		t.Fatal(err)
	}
	if b.wrap != nil {
		l = b.wrap(l)
	}
	b.server = &http.Server{Handler: b, TLSConfig: b.tls, Protocols: b.protocols, IdleTimeout: b.idle, ErrorLog: log.New(io.Discard, "", 0)}
	if b.tls != nil {
		go b.server.ServeTLS(l, "", "")
	} else {
		go b.server.Serve(l)
	}
	t.Cleanup(b.stop)
}

// stop closes the listener and all connections: further ones are refused.
func (b *backend) stop() { b.server.Close() }

// set says what comes of requests, and of probes unless setHealth is called.
func (b *backend) set(h http.HandlerFunc) { b.serves.Store(&h) }

// setHealth says what comes of probes.
func (b *backend) setHealth(h http.HandlerFunc) { b.health.Store(&h) }

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(nameHeader, b.name)
	h := b.serves.Load()
	if r.URL.Path == healthPath {
		b.probes.Add(1)
		if own := b.health.Load(); own != nil {
			h = own
		}
	} else {
		b.requests.Add(1)
	}
	(*h)(w, r)
}

// Behaviours.

func ok(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, w.Header().Get(nameHeader)) }

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func drop(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// working answers after a while.
var working = after(20 * time.Millisecond)

// after answers after the given time.
func after(d time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
			ok(w, r)
		case <-r.Context().Done():
		}
	}
}

// held answers when the channel is closed.
func held(until <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-until:
			ok(w, r)
		case <-r.Context().Done():
		}
	}
}

// addrs returns the addresses of backends, as reverse_proxy takes them.
func addrs(all ...*backend) string {
	var list []string
	for _, b := range all {
		list = append(list, b.addr)
	}
	return strings.Join(list, " ")
}

// setAll says what comes of the requests of several backends.
func setAll(all []*backend, h http.HandlerFunc) {
	for _, b := range all {
		b.set(h)
	}
}

// setHealth says what comes of the probes of several backends.
func setHealth(all []*backend, h http.HandlerFunc) {
	for _, b := range all {
		b.setHealth(h)
	}
}

// requests returns how many requests each of the backends has got.
func requests(all ...*backend) string {
	var list []string
	for _, b := range all {
		list = append(list, fmt.Sprintf("%s: %d", b.name, b.requests.Load()))
	}
	return strings.Join(list, ", ")
}

// childEnv has the name of the backend that a process of this test is to be.
const (
	childEnv      = "EVENKEEL_TEST_BACKEND"
	childAddrEnv  = "EVENKEEL_TEST_BACKEND_ADDR"
	childTakesEnv = "EVENKEEL_TEST_BACKEND_TAKES"
)

// child is a backend in a process of its own, which can be killed.
type child struct {
	name, addr string
	takes      time.Duration // for an answer
	cmd        *exec.Cmd
}

// startChild starts a backend in a process of its own.
func startChild(t *testing.T, name string) *child {
	t.Helper()
	c := &child{name: name, addr: freeAddr(), takes: 20 * time.Millisecond}
	c.start(t)
	return c
}

func (c *child) start(t *testing.T) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+c.name, childAddrEnv+"="+c.addr, childTakesEnv+"="+c.takes.String())
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil { // its end ends the child
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.cmd = cmd
	t.Cleanup(c.kill)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("backend %s did not start: %v", c.name, err)
	}
	c.addr = strings.TrimSpace(line)
}

// kill ends the process without a word.
func (c *child) kill() {
	if c.cmd.ProcessState == nil {
		c.cmd.Process.Kill()
		c.cmd.Wait()
	}
}

// serveChild is what the process of a child does.
func serveChild(name string) {
	l, err := net.Listen("tcp", os.Getenv(childAddrEnv))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	takes, err := time.ParseDuration(os.Getenv(childTakesEnv))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	b := newBackend(name)
	b.set(after(takes))
	fmt.Println(l.Addr())
	go http.Serve(l, b)
	io.Copy(io.Discard, os.Stdin)
}
