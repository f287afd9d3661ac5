package pool_test

import (
	"errors"
	"net/http"
	"net/url"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

func init() { caddy.RegisterModule(new(everything)) }

// everything is a transport with all optional interfaces.
type everything struct{}

func (*everything) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.reverse_proxy.transport.everything", New: func() caddy.Module { return new(everything) }}
}

// RoundTrip implements [http.RoundTripper].
func (*everything) RoundTrip(*http.Request) (*http.Response, error) { return nil, errEverything }

var errEverything = errors.New("everything")

func (*everything) TLSEnabled() bool                               { return true }
func (*everything) EnableTLS(*reverseproxy.TLSConfig) error        { return errEverything }
func (*everything) EnableH2C() error                               { return errEverything }
func (*everything) ProxyProtocolEnabled() bool                     { return true }
func (*everything) OverrideHealthCheckScheme(u *url.URL, _ string) { u.Scheme = "everything" }
func (*everything) DefaultBufferSizes() (int64, int64)             { return 17, 18 }
func (*everything) RequestHeaderOps() *headers.HeaderOps           { return new(headers.HeaderOps) }
func (*everything) RequiresContentLength() bool                    { return true }

// optional asks a transport all that Caddy asks one.
func optional(rt http.RoundTripper) []any {
	u := new(url.URL)
	rt.(reverseproxy.HealthCheckSchemeOverriderTransport).OverrideHealthCheckScheme(u, "80")
	request, response := rt.(reverseproxy.BufferedTransport).DefaultBufferSizes()
	return []any{
		rt.(reverseproxy.TLSTransport).TLSEnabled(),
		errors.Is(rt.(reverseproxy.TLSTransport).EnableTLS(nil), errEverything),
		errors.Is(rt.(reverseproxy.H2CTransport).EnableH2C(), errEverything),
		rt.(reverseproxy.ProxyProtocolTransport).ProxyProtocolEnabled(),
		u.Scheme,
		request, response,
		rt.(reverseproxy.RequestHeaderOpsTransport).RequestHeaderOps() != nil,
		rt.(reverseproxy.ContentLengthRequiredTransport).RequiresContentLength(),
	}
}

func TestObservedTransportKeepsOptionalInterfaces(t *testing.T) {
	for protocol, want := range map[string][]any{
		"everything": {true, true, true, true, "everything", int64(17), int64(18), true, true},
		"scripted":   {false, false, false, false, "", int64(0), int64(0), false, false},
	} {
		h := pooltest.LoadHandler(t, object{
			"load_balancing": object{"selection_policy": pooltest.ByWeight},
			"transport":      object{"protocol": protocol},
			"upstreams":      []object{{"dial": pooltest.Dial(0)}},
		})
		got := optional(h.Transport)
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: answer %d is %v, want %v", protocol, i, got[i], want[i])
			}
		}
	}
}
