package healthcheck

import (
	"net/http"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy/fastcgi"
)

// A connection of the plugin may take as long as one for a request, within bounds.
func TestConnectionsMayTakeAsLongAsThoseOfRequests(t *testing.T) {
	plain := func(dial time.Duration) http.RoundTripper {
		return handlerTransport(t, &reverseproxy.HTTPTransport{DialTimeout: caddy.Duration(dial)})
	}
	encrypted := func(dial, handshake time.Duration) http.RoundTripper {
		return handlerTransport(t, &reverseproxy.HTTPTransport{
			DialTimeout: caddy.Duration(dial), TLS: &reverseproxy.TLSConfig{HandshakeTimeout: caddy.Duration(handshake)},
		})
	}
	cgi := func(dial time.Duration) http.RoundTripper {
		return provisioned(t, &fastcgi.Transport{DialTimeout: caddy.Duration(dial)})
	}
	for name, test := range map[string]struct {
		rt   http.RoundTripper
		want time.Duration
	}{
		"http":                    {plain(0), 3 * time.Second},
		"http, named":             {plain(7 * time.Second), 7 * time.Second},
		"http, the least":         {plain(100 * time.Millisecond), 2 * time.Second},
		"http, the most":          {plain(time.Minute), 30 * time.Second},
		"https":                   {encrypted(0, 0), 13 * time.Second},
		"https, both named":       {encrypted(4*time.Second, 5*time.Second), 9 * time.Second},
		"https, the handshake is": {encrypted(0, 5*time.Second), 8 * time.Second},
		"https, the least":        {encrypted(100*time.Millisecond, 100*time.Millisecond), 2 * time.Second},
		"https, the most":         {encrypted(25*time.Second, 0), 30 * time.Second},
		"fastcgi":                 {cgi(0), 3 * time.Second},
		"fastcgi, named":          {cgi(7 * time.Second), 7 * time.Second},
		"fastcgi, the least":      {cgi(100 * time.Millisecond), 2 * time.Second},
		"fastcgi, the most":       {cgi(time.Minute), 30 * time.Second},
	} {
		if got := connector(t, test.rt).patience(); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
