package attempt

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// breaking is a body that fails after what it has to give.
type breaking struct {
	io.Reader
	err error
}

func (b *breaking) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = b.err
	}
	return n, err
}

func (b *breaking) Close() error { return nil }

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
			r := httptest.NewRequest(http.MethodGet, "/", nil)
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
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Body = none
		if sent, body := watchRequest(r); sent != r || body != nil || body.broken() {
			t.Error("there is no body to be watched")
		}
	}
}
