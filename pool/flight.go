package pool

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// flight is an attempt to have a request served by an upstream, from its start
// to the end of its response.
type flight struct {
	o      *observer
	pool   *Pool
	member *member
	began  time.Time

	request context.Context
	round   int // of the upstream's probation; 0 if it is on none

	sent     *requestBody // nil if the request has none
	upgraded bool         // goes on as a connection
	stop     func() bool  // watching for the end of the request; nil if that need not be watched
	over     atomic.Bool
	landed   atomic.Bool // as far as latency is concerned

	tracked bool        // attempt is among those in flight to the address
	attempt attempt     // here, and not apart, for the sake of allocations
	body    watchedBody // of the response; likewise
}

// begin notes that the attempt begins, on an upstream that Caddy sets the limit for;
// 0 for none.
func (f *flight) begin(limit int) {
	m, now := f.member, instant.Of(f.began)
	f.tracked = m.latency.begin(&f.attempt, now)
	f.round = m.outlier.begin(now)
	if m.slots.picks.Load() > 0 {
		m.slots.fill(now, least(m.room(), limit) > 0)
	}
	if f.pool.counting {
		m.load.begin(now)
	}
}

// land ends the attempt as far as latency is concerned.
func (f *flight) land() {
	if !f.landed.Swap(true) && f.tracked {
		f.member.latency.end(&f.attempt)
	}
}

// end notes that nothing more will come.
func (f *flight) end() {
	if f.stop != nil {
		f.stop()
	}
	f.finish()
}

// finish is end as far as it may happen while the request ends.
func (f *flight) finish() {
	if f.over.Swap(true) {
		return
	}
	f.land()
	f.sent.end()
	switch {
	case !f.pool.counting:
	case f.upgraded: // the body is not ours to watch, but the request ends with it
		context.AfterFunc(f.request, f.member.load.end)
	default:
		f.member.load.end()
	}
	f.pool.line.ended(f.member.address)
	f.o.ended()
}

// abandon ends an attempt that tells nothing of its upstream.
func (f *flight) abandon() {
	f.member.outlier.drop(f.round)
	f.end()
}

// fail ends an attempt that got no answer, by the upstream's fault or the
// request's.
func (f *flight) fail(err error, t *tries) {
	f.sample(time.Since(f.began), true)
	r := report{outcome: unreachable, proven: unsent(err)}
	if r.proven {
		f.judge(r)
	} else {
		f.suspect(r, t)
	}
	f.end()
}

// suspect has a failure be judged when it is known whose it is. Until then, a
// probation goes on with this as its one request.
func (f *flight) suspect(r report, t *tries) {
	if f.member.outlier != nil {
		t.suspect(suspect{f, r})
	}
}

// answer takes in an answer: its header now, its body as it is read. The tries
// are those of the request before, or, where answers are retried, with this one;
// nil if there are none.
func (f *flight) answer(res *http.Response, t *tries) {
	took := time.Since(f.began)
	for _, w := range f.member.watches {
		w.Response(res.Header)
	}
	f.pool.observeResponse(f.request, f.member.address, res.Header)
	bare := res.Body == nil || res.Body == http.NoBody || res.StatusCode == http.StatusSwitchingProtocols
	shed := f.shed(res)
	if shed {
		f.land()
	}
	bad := res.StatusCode >= http.StatusInternalServerError
	if bare || bad || !f.o.toLastByte {
		f.sample(took, bad)
		f.land()
	}
	if r := f.pool.options.rules; r != nil {
		rep := report{open: !bare}
		if !shed {
			rep.outcome, rep.counts = r.outcome(res.StatusCode)
		}
		switch good := rep.outcome == answered && !rep.counts; {
		case good && t != nil:
			t.answered()
			f.judge(rep)
		case good || !f.o.answered:
			f.judge(rep)
		default: // the request may be retried for it
			f.suspect(rep, t)
		}
	}
	if bare {
		f.upgraded = res.StatusCode == http.StatusSwitchingProtocols
		f.end()
		return
	}
	if f.pool.counting || f.o.toLastByte {
		// A handler that panics, as one does when the client is gone, may leave
		// the body open.
		f.stop = context.AfterFunc(f.request, f.finish)
	}
	f.body = watchedBody{ReadCloser: res.Body, flight: f}
	res.Body = &f.body
}

// complete takes in that the response has come to its end, or broken off.
func (f *flight) complete(err error) {
	switch {
	case err == io.EOF:
		f.sample(time.Since(f.began), false)
		f.member.outlier.complete(instant.Of(f.began))
	case err != nil && f.request.Err() == nil:
		f.judgeIn(0, report{outcome: unreachable}) // what the header is to a probation stands
	default: // the client, or whoever else was to read it, has had enough of it
		f.member.outlier.complete(instant.Of(f.began))
	}
	f.land()
}

// sample takes in a latency, where a policy heeds it, unless it has been already.
func (f *flight) sample(took time.Duration, failed bool) {
	if !f.pool.timed || f.landed.Load() {
		return
	}
	now := instant.Of(f.began.Add(took))
	f.member.latency.observe(now, took, failed, f.o.decay)
	if !failed {
		f.pool.fleet.observe(now, took)
	}
}

// judge has an outcome bear on whether the upstream is ejected.
func (f *flight) judge(r report) { f.judgeIn(f.round, r) }

// judgeIn is judge in the given round of the upstream's probation; 0 for in none.
func (f *flight) judgeIn(round int, r report) {
	if f.member.outlier == nil {
		return
	}
	r.began, r.round = instant.Of(f.began), round
	f.pool.judge(f.member, r)
}

// shed reports whether the answer sheds load, and lets the upstream be spared if
// that is what the policy heeds.
func (f *flight) shed(res *http.Response) bool {
	if !f.pool.timed {
		return false
	}
	after := res.Header.Get("Retry-After")
	if res.StatusCode != http.StatusTooManyRequests && (res.StatusCode != http.StatusServiceUnavailable || after == "") {
		return false
	}
	now := time.Now()
	f.member.latency.spare(instant.Of(now), waitFor(after, now))
	return true
}

// waitFor parses the header Retry-After: seconds, or a date (RFC 9110, 10.2.3).
// What says neither counts as the least.
func waitFor(after string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(after, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(mostShed/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(after); err == nil {
		return max(date.Sub(now), 0)
	}
	return leastShed
}

// watchedBody tells when a response is done with.
type watchedBody struct {
	io.ReadCloser
	flight *flight
	once   sync.Once
	closed sync.Once
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.once.Do(func() { b.flight.complete(err) })
	}
	return n, err
}

func (b *watchedBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() { b.flight.complete(nil) })
	b.closed.Do(b.flight.end)
	return err
}
