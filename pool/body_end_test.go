package pool_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// Caddy uses the buffer of a body for other clients once the request is over. A
// transport whose upstream has answered early may still be reading it.
func TestBufferedBodyEndsWithItsRequest(t *testing.T) {
	says := func(body io.ReadCloser, err error) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, Proto: "HTTP/1.1", Header: make(http.Header), Body: body}, err
		}
	}
	for name, does := range map[string]pooltest.Act{
		"answered": func(r *http.Request) (*http.Response, error) {
			return says(io.NopCloser(strings.NewReader("ok")), nil)(r)
		},
		"answered in a header": says(http.NoBody, nil),
		"failed":               func(*http.Request) (*http.Response, error) { return nil, errors.New("reset") },
	} {
		ours := object{"policy": "by_weight", "retries": 0}
		for by, policy := range map[string]object{
			"ours": ours, "Caddy's": {"policy": "header", "field": "X-User", "fallback": ours},
		} {
			t.Run(name+", picked by "+by, func(t *testing.T) {
				pooltest.Isolate()
				h := pooltest.LoadHandler(t, object{
					"load_balancing":  object{"selection_policy": policy},
					"transport":       object{"protocol": "scripted"},
					"upstreams":       pooltest.Dials(1),
					"request_buffers": 1 << 20,
				})
				var left io.Reader
				pooltest.Script(pooltest.Dial(0), func(r *http.Request) (*http.Response, error) {
					if begun, err := io.CopyN(io.Discard, r.Body, 10); err != nil {
						t.Errorf("%d bytes, then %v", begun, err)
					}
					left = r.Body
					return does(r)
				})
				defer pooltest.Script(pooltest.Dial(0), nil)
				r := pooltest.ServerRequest("/", "X-User", "somebody")
				r.Method, r.ContentLength = http.MethodPost, 100
				r.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", 100)))
				_ = h.ServeHTTP(httptest.NewRecorder(), r, nil)
				if rest, err := io.ReadAll(left); len(rest) > 0 || err == nil {
					t.Errorf("%d bytes are still read, then %v", len(rest), err)
				}
			})
		}
	}
}
