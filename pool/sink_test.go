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
	"github.com/caddy-evenkeel/evenkeel/outlier"
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

// streams is an upstream whose answer has the given body.
func streams(body io.ReadCloser) answers {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: make(http.Header), Body: body}, nil
	}
}

// unanswered returns how many attempts on the i-th upstream in a row had no answer.
func (b *testPool) unanswered(i int) int {
	return b.static.members[i].host.State(instant.Now(), true).Unanswered
}

// inFlight reports whether an attempt on the i-th upstream is in flight.
func (b *testPool) inFlight(i int) bool {
	return b.static.members[i].ages().Oldest() != 0
}

// probing reports whether the i-th upstream is on probation and has its request.
func (b *testPool) probing(i int) bool {
	return b.static.members[i].host.State(instant.Now(), true).Busy
}

func TestResponseThatBreaksOffIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 2)
		for n := 1; n < consecutive; n++ {
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
			if got := b.unanswered(0); got != n || body.closed != 2 {
				t.Fatalf("%d broke off: counted as %d, closed %d times", n, got, body.closed)
			}
		}
		b.serve(0, 1, says(404))
		if got := b.unanswered(0); got != 0 {
			t.Errorf("one came to its end, and still %d count", got)
		}
		b.serve(0, consecutive, streams(breaks(io.ErrUnexpectedEOF)))
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
		if got := b.unanswered(0); got != 4 {
			t.Errorf("the body is still to come: %d count, want 4", got)
		}
		res.Body.Close()
		if got := b.unanswered(0); got != 0 {
			t.Errorf("closed unread: %d count", got)
		}
		b.serve(0, 4, refuses)
		r := get()
		ctx, leave := context.WithCancel(r.Context())
		res, _ = b.send(r.WithContext(ctx), 0, streams(breaks(context.Canceled)))
		leave()
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if got := b.unanswered(0); got != 0 {
			t.Errorf("its client has left: %d count", got)
		}
		if b.inFlight(0) {
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
		if got := b.unanswered(0); got != 4 {
			t.Errorf("%d count, want 4", got)
		}
	})
}

// A client that goes away in the middle of a download ends what the upstream
// sends, which is not the upstream's failure.
func TestClientThatLeavesInTheMiddleOfAResponseIsNobodysFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 2)
		for range 2 * consecutive {
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
			r, leave := until(get())
			leave()
			return r
		},
		"its body broke off": func() *http.Request {
			return withReplacer(httptest.NewRequest(http.MethodPost, "/", breaks(io.ErrUnexpectedEOF)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newPool(t, Options{}, 2)
				way := func(r *http.Request) (*http.Response, error) {
					_, err := io.Copy(io.Discard, r.Body)
					return nil, errors.Join(err, r.Context().Err(), errRefused)
				}
				for range 2 * consecutive {
					_, _ = b.send(client(), 0, way)
				}
				b.expect(t, "ten clients have left", "ss")

				b.throw(0)
				time.Sleep(30 * time.Second)
				_, _ = b.send(client(), 0, way)
				b.expect(t, "on probation", "ps")
				if b.probing(0) {
					t.Error("the one request of the probation is held to be under way")
				}
			})
		})
	}
}

func TestResponseIsReadToItsEndWithoutOutlierDetection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, only(outlier.Options{Off: true}), 2)
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

// Whoever drains an upstream waits for its sockets, too.
func TestSocketIsInFlightUntilItsRequestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 1)
		r, end := until(get())
		_, err := b.send(r, 0, func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusSwitchingProtocols, Body: io.NopCloser(strings.NewReader(""))}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		known := b.static.members[0].known
		if n := known.inFlight(); n != 0 {
			t.Errorf("%d in flight, where Caddy counts none", n)
		}
		known.counted.Store(nil) // as if Caddy counted many
		if n := b.View().Upstreams[0].InFlight; n != 1 {
			t.Errorf("open, and %d in flight", n)
		}
		end()
		synctest.Wait()
		if n := b.View().Upstreams[0].InFlight; n != 0 {
			t.Errorf("closed, and %d in flight", n)
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
		if b.inFlight(0) || b.probing(0) {
			t.Error("an attempt is held to be in flight")
		}
	})
}

// Where answers are retried, one that is bad is judged at the end of its request.
// That its body has broken off before must not leave the probation taken for ever.
func TestBadAnswerThatBreaksOffOnProbationEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 2)
		b.install(t, true)
		b.throw(0)
		time.Sleep(30 * time.Second)
		r, end := until(get())
		res, err := b.send(r, 0, func(r *http.Request) (*http.Response, error) {
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
		if b.probing(0) {
			t.Error("the one request of the probation is held to be under way")
		}
	})
}
