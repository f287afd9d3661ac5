package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Header fields between clients and backends.
const (
	idHeader    = "X-Chaos-Id"      // of the request, and of its answer
	nameHeader  = "X-Chaos-Backend" // who answered
	faultHeader = "X-Chaos-Fault"   // on purpose
)

// Faults of a backend.
const (
	none   int32 = iota
	dead         // refuses connections
	resets       // by RST
	drops        // closes without an answer
	hangs
	slow
	errs // answers 500
	truncates
	numFaults
)

// backend is a server that echoes the id of a request, or is at fault.
type backend struct {
	addr  string
	fault atomic.Int32
	*tally
	server *http.Server
}

// newBackend starts a backend, on an address that no client's connection takes
// while it is down, where the machine has such addresses.
func newBackend(i int, seen *tally) (*backend, error) {
	b := &backend{tally: seen}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.1.%d:0", i+1))
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, err
	}
	b.addr = l.Addr().String()
	b.serve(l)
	return b, nil
}

func (b *backend) serve(l net.Listener) {
	b.server = &http.Server{Handler: b, ErrorLog: log.New(io.Discard, "", 0)}
	go b.server.Serve(l)
}

// become puts the backend at fault, or mends it.
func (b *backend) become(fault int32) {
	before := b.fault.Swap(fault)
	switch {
	case fault == dead && before != dead:
		b.server.Close()
	case fault != dead && before == dead:
		l, err := net.Listen("tcp", b.addr)
		for range 100 {
			if err == nil {
				break
			}
			time.Sleep(50 * time.Millisecond)
			l, err = net.Listen("tcp", b.addr)
		}
		if err != nil {
			b.blame("the trial itself: a backend cannot come back: %v", err)
			return
		}
		b.serve(l)
	}
}

// faults has some backends at fault in many ways, all well for a while, then others.
func (t *trial) faults(ctx context.Context) {
	for ctx.Err() == nil {
		victims := rand.Perm(numBackends)[:numFaulty]
		for range 4 + rand.IntN(8) {
			for _, i := range victims {
				t.backends[i].become(rand.Int32N(numFaults))
				t.note("faults", 1)
			}
			pause(ctx, time.Duration(300+rand.IntN(700))*time.Millisecond)
		}
		for _, i := range victims {
			t.backends[i].become(none)
		}
		pause(ctx, rest)
	}
}

// lines is text that tells in every line whose it is.
func lines(id string, n int) string { return strings.Repeat(id+"\n", n) }

// sizeOf is how many lines the answer to a request has: some are larger than the
// buffers on their way.
func sizeOf(id string) int {
	if strings.HasSuffix(id, "0") {
		return 4000
	}
	return 1 + len(id)%7
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, fault := r.Header.Get(idHeader), b.fault.Load()
	w.Header().Set(idHeader, id)
	w.Header().Set(nameHeader, b.addr)
	w.Header().Set("Set-Cookie", "APPSESSION="+b.addr)
	if !b.fails(w, r, fault) {
		return
	}
	switch {
	case r.URL.Path == healthPath:
		return
	case r.Header.Get("Upgrade") != "":
		upgrade(w)
		return
	case r.ContentLength != 0:
		b.take(r, id)
	}
	answer := lines(id, sizeOf(id))
	if fault == truncates {
		w.Header().Set(faultHeader, "truncated")
		w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
		io.WriteString(w, answer[:len(answer)/2])
		panic(http.ErrAbortHandler)
	}
	io.WriteString(w, answer)
}

// fails has the request meet the fault, and returns whether it is still to be
// answered.
func (b *backend) fails(w http.ResponseWriter, r *http.Request, fault int32) bool {
	switch fault {
	case resets, drops:
		if r.ContentLength > 0 {
			b.part(r)
		}
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok && fault == resets {
				tcp.SetLinger(0)
			}
			conn.Close()
		}
		return false
	case hangs:
		if r.ContentLength > 0 {
			b.part(r)
		}
		pause(r.Context(), patience)
		panic(http.ErrAbortHandler)
	case slow:
		w.Header().Set("X-Envoy-Degraded", "1")
		pause(r.Context(), time.Duration(rand.IntN(300))*time.Millisecond)
	case errs:
		w.Header().Set(faultHeader, "500")
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, lines(r.Header.Get(idHeader), 1))
		return false
	}
	return true
}

// part reads a body in part, so that it cannot be sent elsewhere.
func (b *backend) part(r *http.Request) {
	b.check(io.LimitReader(r.Body, 6<<10), r.Header.Get(idHeader))
}

// take reads a body to its end.
func (b *backend) take(r *http.Request, id string) {
	n, err := b.check(r.Body, id)
	if err != nil || n != r.ContentLength && r.ContentLength > 0 {
		panic(http.ErrAbortHandler) // the client went away, or the proxy broke off
	}
	b.note("bodies that arrived whole", 1)
}

// check blames the product for a body with lines of another client.
func (b *backend) check(body io.Reader, id string) (int64, error) {
	text, err := io.ReadAll(body)
	for line := range bytes.Lines(text) {
		if !strings.HasPrefix(id+"\n", string(line)) { // the last one may be cut
			b.note("mixed bodies", 1)
			b.blame("the body of %s has a line of another: %.60q", id, line)
			break
		}
	}
	return int64(len(text)), err
}

// upgrade echoes what comes, as a web socket would.
func upgrade(w http.ResponseWriter) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * patience))
	fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	io.Copy(conn, rw)
}
