package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var ids atomic.Int64

// newID returns what names one request, at one site.
func newID(s *site) string { return fmt.Sprintf("%s-%d", s.name, ids.Add(1)) }

// visit has clients come to a site at a bounded rate until the context ends.
func (t *trial) visit(ctx context.Context, parts *sync.WaitGroup, s *site) {
	for range 2 {
		var cookies string
		parts.Go(func() {
			every(ctx, 100*time.Millisecond, func() { t.request(s, http.MethodGet, &cookies, "") })
		})
	}
	var cookies string
	parts.Go(func() {
		every(ctx, 200*time.Millisecond, func() {
			method := []string{http.MethodGet, http.MethodPost}[rand.IntN(2)]
			t.request(s, method, &cookies, "with a body")
		})
	})
	parts.Go(func() { every(ctx, time.Second, func() { t.socket(s) }) })
}

// request makes one request, of which some clients tire soon. It takes in what came
// of it, and the cookies.
func (t *trial) request(s *site, method string, cookies *string, kind string) {
	tires := patience
	if rand.IntN(10) == 0 {
		tires = time.Duration(rand.IntN(40)) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), tires)
	defer cancel()
	id := newID(s)
	var body io.Reader
	if kind != "" {
		body = strings.NewReader(lines(id, 1+rand.IntN(3000)))
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+t.addr+"/"+s.name+"/", body)
	if err != nil {
		t.blame("the trial itself: %v", err)
		return
	}
	req.Header.Set(idHeader, id)
	req.Header.Set("X-Up", t.backends[rand.IntN(numBackends)].addr)
	if *cookies != "" {
		req.Header.Set("Cookie", *cookies)
	}
	res, err := t.client.Do(req)
	if err != nil {
		t.note(lostBy(ctx, err), 1)
		return
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if rand.IntN(20) == 0 {
		*cookies = "" // a new session
	}
	if set := res.Header.Values("Set-Cookie"); len(set) > 0 {
		var pairs []string
		for _, cookie := range set {
			pair, _, _ := strings.Cut(cookie, ";")
			pairs = append(pairs, pair)
		}
		*cookies = strings.Join(pairs, "; ")
	}
	t.judge(s, id, kind, res, string(text), err)
}

// lostBy says why there was no answer.
func lostBy(ctx context.Context, err error) string {
	var timeout net.Error
	if ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout() {
		return "client went away"
	}
	return "connection lost in a reload"
}

// judge takes in an answer.
func (t *trial) judge(s *site, id, kind string, res *http.Response, text string, err error) {
	whole, from := lines(id, sizeOf(id)), res.Header.Get(nameHeader)
	switch {
	case from == "" && res.StatusCode >= 500:
		switch {
		case kind != "":
			t.note("errors for requests with a body, which are not always sent again", 1)
		case s.mayFail:
			t.note("errors for GETs that had nowhere else to go", 1)
		default:
			t.note("GETs that failed, although another backend could serve them", 1)
			t.blame("%s: %d, although another backend could serve it; log: %s", id, res.StatusCode, logged.about(id))
		}
	case res.Header.Get(idHeader) != id:
		t.blame("%s was answered for %q: %d %.60q", id, res.Header.Get(idHeader), res.StatusCode, text)
	case res.Header.Get(faultHeader) == "500":
		t.note("answers 500, as meant", 1)
		if err == nil && text != lines(id, 1) {
			t.blame("%s: the body of a 500: %.60q", id, text)
		}
	case !strings.HasPrefix(whole, text):
		t.blame("%s was answered with another body: %.60q", id, text)
	case err != nil:
		t.note("answers cut off", 1)
	case text != whole:
		t.blame("%s was answered in part, as if in whole", id)
	default:
		t.note("right answers", 1)
	}
}

// socket opens a connection that is upgraded, and has a few lines echoed.
func (t *trial) socket(s *site) {
	conn, err := net.Dial("tcp", t.addr)
	if err != nil {
		t.note("sockets not opened", 1)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	id := newID(s)
	fmt.Fprintf(conn, "GET /%s/ HTTP/1.1\r\nHost: x\r\n%s: %s\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Up: %s\r\n\r\n",
		s.name, idHeader, id, t.backends[rand.IntN(numBackends)].addr)
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.note("sockets not opened", 1)
		return
	}
	for i := range 1 + rand.IntN(4) {
		want := fmt.Sprintf("%s line %d\n", id, i)
		io.WriteString(conn, want)
		got, err := in.ReadString('\n')
		if err != nil {
			t.note("sockets cut off", 1)
			return
		}
		if got != want {
			t.blame("%s: a socket echoes %q for %q", id, got, want)
			return
		}
	}
	t.note("sockets that echoed", 1)
}
