package healthcheck

import (
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Some of the upstreams are behind a proxy, as an environment may say.
func TestConnectorKnowsWhatItCannotConnectTo(t *testing.T) {
	c := connector(t, &reverseproxy.HTTPTransport{Transport: &http.Transport{
		DialContext: new(net.Dialer).DialContext,
		Proxy: func(r *http.Request) (*url.URL, error) {
			if strings.HasPrefix(r.URL.Host, "10.") {
				return url.Parse("http://proxy.example:3128")
			}
			return nil, nil
		},
	}})
	for address, able := range map[string]bool{"192.0.2.1:80": true, "10.0.0.1:80": false, "unix//run/10.sock": true, "192.0.2.1:80-90": false} {
		if err := c.Connects(address); (err == nil) != able {
			t.Errorf("%s: %v", address, err)
		}
	}
}
