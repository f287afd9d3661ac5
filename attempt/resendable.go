package attempt

import (
	"encoding/json"
	"maps"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() { caddy.RegisterModule(new(Resendable)) }

// Resendable is a request matcher that the policies add to the handler's
// retry_match. It matches requests that may be sent once more. A request does not
// match if an attempt has begun to read its body, unless Caddy has buffered all of
// that: what the attempt has read is lost to the next one.
type Resendable struct {
	// The handler whose attempts count: the key of their record.
	Handler string `json:"handler,omitempty"`
}

// resendable is the name of the matcher.
const resendable = "load_balancer_resendable"

// CaddyModule returns the Caddy module information.
func (*Resendable) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.matchers." + resendable,
		New: func() caddy.Module { return new(Resendable) },
	}
}

// MatchWithError reports whether the request may be sent again. The error is
// always nil.
func (m *Resendable) MatchWithError(r *http.Request) (bool, error) {
	return !recordOf(r, m.Handler).Final(), nil
}

// retryMatch returns the handler's matchers for retries with [Resendable] added. No
// matchers mean GET, as they do for Caddy.
func retryMatch(sets caddyhttp.RawMatcherSets, handler string) caddyhttp.RawMatcherSets {
	condition, _ := json.Marshal(Resendable{handler}) // a string: no error
	if len(sets) == 0 {
		sets = caddyhttp.RawMatcherSets{{"method": json.RawMessage(`["GET"]`)}}
	}
	limited := make(caddyhttp.RawMatcherSets, len(sets))
	for i, set := range sets {
		limited[i] = maps.Clone(set)
		if set == nil {
			limited[i] = make(caddy.ModuleMap)
		}
		limited[i][resendable] = condition
	}
	return limited
}

// Interface guard
var _ caddyhttp.RequestMatcherWithError = (*Resendable)(nil)
