package pool

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
)

// breaking is a body that fails after what it has to give.
type breaking struct {
	io.Reader
	err    error
	closed int
}

func (b *breaking) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = b.err
	}
	return n, err
}

func (b *breaking) Close() error { b.closed++; return nil }

func breaks(err error) *breaking { return &breaking{Reader: strings.NewReader("half of it"), err: err} }

func TestRequestBodyTellsWhetherTheClientBrokeOff(t *testing.T) {
	reset := errors.New("connection reset by peer")
	for name, test := range map[string]struct {
		err         error
		closedFirst bool
		want        bool
	}{
		"read to its end":                    {io.EOF, false, false},
		"broken off":                         {reset, false, true},
		"cut short":                          {io.ErrUnexpectedEOF, false, true},
		"read after the transport closed it": {http.ErrBodyReadAfterClose, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := get()
			r.Body = breaks(test.err)
			sent, body := watchRequest(r)
			if sent == r || sent.Body != body || r.Body == body {
				t.Error("the request itself is changed")
			}
			if body.broken() {
				t.Error("broken before anything was read")
			}
			if test.closedFirst {
				sent.Body.Close()
			}
			content, err := io.ReadAll(sent.Body)
			if string(content) != "half of it" || err != nil != (test.err != io.EOF) {
				t.Errorf("read %q, %v", content, err)
			}
			if body.broken() != test.want {
				t.Errorf("broken off: %t", body.broken())
			}
		})
	}
	for _, none := range []io.ReadCloser{nil, http.NoBody} {
		r := get()
		r.Body = none
		if sent, body := watchRequest(r); sent != r || body != nil || body.broken() {
			t.Error("there is no body to be watched")
		}
	}
}

// streams is an upstream whose answer has the given body.
func streams(body io.ReadCloser) answers {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: make(http.Header), Body: body}, nil
	}
}

func (b *testPool) row(i int) row {
	o := b.static.members[i].outlier
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.row
}

func TestResponseThatBreaksOffIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 2)
		for n := 1; n < defaultConsecutive; n++ {
			body := breaks(io.ErrUnexpectedEOF)
			res, err := b.send(get(), 0, streams(body))
			if err != nil {
				t.Fatal(err)
			}
			for range 3 { // those who read may go on, and close twice
				_, _ = io.Copy(io.Discard, res.Body)
			}
			res.Body.Close()
			res.Body.Close()
			if got := b.row(0).local.all; got != n || body.closed != 2 {
				t.Fatalf("%d broke off: counted as %d, closed %d times", n, got, body.closed)
			}
		}
		b.serve(0, 1, says(404))
		if got := b.row(0).local.all; got != 0 {
			t.Errorf("one came to its end, and still %d count", got)
		}
		b.serve(0, defaultConsecutive, streams(breaks(io.ErrUnexpectedEOF)))
		b.expect(t, "five broke off", "es")
	})
}

// Streams end when their clients leave, and some bodies nobody reads: the upstream
// has answered all the same.
func TestResponseThatNobodyReadsToItsEndIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 2)
		b.serve(0, 4, refuses)
		res, _ := b.send(get(), 0, says(200))
		if got := b.row(0).local.all; got != 4 {
			t.Errorf("the body is still to come: %d count, want 4", got)
		}
		res.Body.Close()
		if got := b.row(0).local.all; got != 0 {
			t.Errorf("closed unread: %d count", got)
		}
		b.serve(0, 4, refuses)
		r := get()
		ctx, leave := context.WithCancel(r.Context())
		res, _ = b.send(r.WithContext(ctx), 0, streams(breaks(context.Canceled)))
		leave()
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if got := b.row(0).local.all; got != 0 {
			t.Errorf("its client has left: %d count", got)
		}
		if l := b.static.members[0].latency.flights; l.first != nil {
			t.Error("it is still in flight")
		}
	})
}

func TestResponseToAnAttemptFromBeforeAnEjectionTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 2)
		early, _ := b.send(get(), 0, says(200))
		b.throw(0)
		time.Sleep(30 * time.Second)
		b.serve(0, 1, says(200))
		b.serve(0, 4, refuses)
		_, _ = io.Copy(io.Discard, early.Body)
		early.Body.Close()
		if got := b.row(0).local.all; got != 4 {
			t.Errorf("%d count, want 4", got)
		}
	})
}

// A client that goes away in the middle of a download ends what the upstream
// sends, which is not the upstream's failure.
func TestClientThatLeavesInTheMiddleOfAResponseIsNobodysFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 2)
		for range 2 * defaultConsecutive {
			r := get()
			ctx, leave := context.WithCancel(r.Context())
			res, err := b.send(r.WithContext(ctx), 0, streams(breaks(context.Canceled)))
			if err != nil {
				t.Fatal(err)
			}
			leave()
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		b.expect(t, "ten clients have left", "ss")
	})
}

func TestClientThatLeavesBeforeTheAnswerIsNobodysFailure(t *testing.T) {
	for name, client := range map[string]func() *http.Request{
		"gone": func() *http.Request {
			ctx, leave := context.WithCancel(context.Background())
			leave()
			return get().WithContext(ctx)
		},
		"its body broke off": func() *http.Request {
			return httptest.NewRequest(http.MethodPost, "/", breaks(io.ErrUnexpectedEOF))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newPool(t, Options{}, 2)
				way := func(r *http.Request) (*http.Response, error) {
					_, err := io.Copy(io.Discard, r.Body)
					return nil, errors.Join(err, r.Context().Err(), errRefused)
				}
				for range 2 * defaultConsecutive {
					_, _ = b.send(client(), 0, way)
				}
				b.expect(t, "ten clients have left", "ss")

				b.throw(0)
				time.Sleep(30 * time.Second)
				_, _ = b.send(client(), 0, way)
				b.expect(t, "on probation", "ps")
				if o := b.static.members[0].outlier; o.busy(instant.Now()) {
					t.Error("the one request of the probation is held to be under way")
				}
			})
		})
	}
}

func TestResponseIsReadToItsEndWithoutOutlierDetection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, only(OutlierDetection{Off: true}), 2)
		b.serve(0, 1, says(200))
	})
}

func TestBodyOfAnUpgradeIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 1)
		body := breaks(io.EOF)
		res, err := b.send(get(), 0, func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusSwitchingProtocols, Body: body}, nil
		})
		if err != nil || res.Body != io.ReadCloser(body) {
			t.Errorf("%v, %v", res, err)
		}
	})
}

func TestTransportThatPanicsLeavesNothingInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 2)
		b.throw(0)
		time.Sleep(30 * time.Second)
		func() {
			defer func() { _ = recover() }()
			_, _ = b.send(get(), 0, func(*http.Request) (*http.Response, error) { panic("broken") })
		}()
		m := b.static.members[0]
		if m.latency.flights.first != nil || m.outlier.busy(instant.Now()) {
			t.Error("an attempt is held to be in flight")
		}
	})
}

// Where answers are retried, one that is bad is judged at the end of its request.
// That its body has broken off before must not leave the probation taken for ever.
func TestBadAnswerThatBreaksOffOnProbationEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 2)
		b.observer.answered = true
		b.throw(0)
		time.Sleep(30 * time.Second)
		ctx, end := context.WithCancel(context.Background())
		res, err := b.send(get().WithContext(ctx), 0, func(r *http.Request) (*http.Response, error) {
			res, err := streams(breaks(io.ErrUnexpectedEOF))(r)
			res.StatusCode = http.StatusServiceUnavailable
			return res, err
		})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		end()
		synctest.Wait()
		if o := b.static.members[0].outlier; o.busy(instant.Now()) {
			t.Error("the one request of the probation is held to be under way")
		}
	})
}
