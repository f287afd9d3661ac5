package attempt

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// watchRequest returns the request with a body that tells whether it could be
// read; the request itself, if it has none.
func watchRequest(r *http.Request) (*http.Request, *requestBody) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, nil
	}
	body := &requestBody{ReadCloser: r.Body, whole: isWhole(r.Body)}
	watched := *r
	watched.Body = body
	return &watched, body
}

// requestBody is the client's side of an attempt.
type requestBody struct {
	io.ReadCloser
	whole  bool // each attempt gets all of it anew
	failed atomic.Bool
	closed atomic.Bool  // by the transport, after which reading fails
	state  atomic.Int32 // unread, begun, empty or sealed

	mu   sync.Mutex // held while a whole body is read, and guards:
	over bool       // the buffer that it is in may be another client's by now
}

// What may have happened to a body in an attempt.
const (
	unread = iota
	begun
	empty  // it was read to its end, and there was nothing: another attempt finds the same
	sealed // the attempt is over, and has not begun to read it
)

var errAttemptOver = errors.New("the attempt is over")

func (b *requestBody) Read(p []byte) (int, error) {
	first := b.state.CompareAndSwap(unread, begun)
	if !first && b.state.Load() == sealed {
		return 0, errAttemptOver
	}
	n, err := b.read(p)
	if first && n == 0 && err == io.EOF {
		b.state.Store(empty)
	}
	if err != nil && err != io.EOF && err != errAttemptOver && !b.closed.Load() {
		b.failed.Store(true)
	}
	return n, err
}

// read is Read of what the client has sent, if that is still to be had.
func (b *requestBody) read(p []byte) (int, error) {
	if b.whole {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.over {
			return 0, errAttemptOver
		}
	}
	return b.ReadCloser.Read(p)
}

// end ends the use of a whole body: Caddy uses its buffer for other clients once the
// request is over, but a transport whose upstream has answered early may go on
// reading.
func (b *requestBody) end() {
	if b == nil || !b.whole {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
}

// endingBody is the body of an answer with which the use of the request's body
// ends, too.
type endingBody struct {
	io.ReadCloser
	request *requestBody
}

func (b *endingBody) Close() error {
	b.request.end()
	return b.ReadCloser.Close()
}

// spent ends the attempt's use of the body, which a transport may still be about
// to read, and reports whether it cannot be sent again: part of it was read, and
// is gone.
func (b *requestBody) spent() bool {
	return b.partial() && !b.state.CompareAndSwap(unread, sealed) && b.state.Load() == begun
}

// partial reports whether what an attempt takes of the body is gone for the next.
func (b *requestBody) partial() bool { return b != nil && !b.whole }

// isWhole reports whether each attempt gets all of the body anew. Of one that Caddy
// has buffered whole each has a reader of its own, which it shows by the interface
// io.WriterTo.
func isWhole(body io.ReadCloser) bool {
	_, whole := body.(io.WriterTo)
	return whole
}

func (b *requestBody) Close() error {
	b.closed.Store(true)
	return b.ReadCloser.Close()
}

// broken reports whether the client's body broke off.
func (b *requestBody) broken() bool { return b != nil && b.failed.Load() }
