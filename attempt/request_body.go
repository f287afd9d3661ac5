package attempt

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// watchRequest returns a copy of the request whose body is watched; the request
// itself and nil, if it has no body.
func watchRequest(r *http.Request) (*http.Request, *requestBody) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, nil
	}
	body := &requestBody{ReadCloser: r.Body, whole: isWhole(r.Body)}
	watched := *r
	watched.Body = body
	return &watched, body
}

// requestBody is the client's body as one attempt sends it.
type requestBody struct {
	io.ReadCloser
	whole  bool         // Caddy has buffered it: each attempt gets all of it
	failed atomic.Bool  // reading it from the client has failed
	closed atomic.Bool  // by the transport; reading fails from then on
	state  atomic.Int32 // unread, begun, empty or sealed

	mu   sync.Mutex // held while a whole body is read, and guards:
	over bool       // Caddy may have given the buffer to another request
}

// States of a body in an attempt.
const (
	unread = iota
	begun
	empty  // read to its end, and there was nothing: another attempt finds the same
	sealed // the attempt ended before it began to read
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

// read reads what the client has sent, unless the attempt is over.
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

// end ends the use of a whole body. A transport may go on reading after an early
// answer, but Caddy reuses the buffer once the request is over.
func (b *requestBody) end() {
	if b == nil || !b.whole {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
}

// endingBody is the body of an answer. Closing it ends the use of the request's body,
// too.
type endingBody struct {
	io.ReadCloser
	request *requestBody
}

func (b *endingBody) Close() error {
	b.request.end()
	return b.ReadCloser.Close()
}

// spent reports whether the body cannot be sent again, since part of it was read and
// is gone. If not, it seals the body: a transport may still be about to read it.
func (b *requestBody) spent() bool {
	return b.partial() && !b.state.CompareAndSwap(unread, sealed) && b.state.Load() == begun
}

// partial reports whether what one attempt reads of the body is gone for the next.
func (b *requestBody) partial() bool { return b != nil && !b.whole }

// isWhole reports whether Caddy has buffered all of the body. Each attempt then has a
// reader of its own, which implements io.WriterTo.
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
