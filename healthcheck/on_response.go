package healthcheck

import (
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

// Envoy's names of the fields.
const (
	degradedField = "x-envoy-degraded"
	failField     = "x-envoy-immediate-health-check-fail"
)

// OnResponse has the header fields by which an upstream reports its state in any
// response, to requests and to http probes. A field counts whatever its value. If
// neither is set, both are Envoy's.
type OnResponse struct {
	// Field that says that the upstream is degraded: up, but not well. The
	// next probe that passes without the field lifts that. Default: none if
	// fail is set, else x-envoy-degraded.
	Degraded string `json:"degraded,omitempty"`

	// Field that makes the upstream unhealthy at once. It takes as many
	// probes as the option passes says to come back. Default: none if
	// degraded is set, else x-envoy-immediate-health-check-fail.
	Fail string `json:"fail,omitempty"`

	degraded, fail string // canonical; empty: none
}

// validate returns an error for what is no field.
func (o *OnResponse) validate() error {
	for _, f := range []struct{ option, name string }{{"degraded", o.Degraded}, {"fail", o.Fail}} {
		if f.name != "" && !isToken(f.name) {
			return fmt.Errorf("on_response: %s: '%s' is not a field name", f.option, f.name)
		}
	}
	return nil
}

// setDefaults sets what is unset.
func (o *OnResponse) setDefaults() {
	if o.Degraded == "" && o.Fail == "" {
		o.Degraded, o.Fail = degradedField, failField
	}
	o.degraded, o.fail = http.CanonicalHeaderKey(o.Degraded), http.CanonicalHeaderKey(o.Fail)
}

// in returns which fields the header has. A nil OnResponse has none.
func (o *OnResponse) in(h http.Header) (degraded, fail bool) {
	if o == nil {
		return false, false
	}
	return o.degraded != "" && len(h[o.degraded]) > 0, o.fail != "" && len(h[o.fail]) > 0
}

// reason is the reason for a state that the field has brought about.
func (o *OnResponse) reason(field string) string { return "response has the header " + field }

func init() { cfg.Options("on_response", "", "degraded", "fail") }

// UnmarshalCaddyfile sets up o from Caddyfile tokens. Syntax:
//
//	on_response {
//		degraded <field>
//		fail     <field>
//	}
func (o *OnResponse) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume "on_response"
	if err := cfg.NoArgs(d); err != nil {
		return err
	}
	seen := make(cfg.Seen)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.Once(d); err != nil {
			return err
		}
		field := map[string]*string{"degraded": &o.Degraded, "fail": &o.Fail}[d.Val()]
		if field == nil {
			return cfg.Unknown(d, "on_response")
		}
		var err error
		if *field, err = nonEmpty(d); err != nil {
			return err
		}
		if err := o.validate(); err != nil {
			return d.WrapErr(err)
		}
	}
	return nil
}

// Interface guard
var _ caddyfile.Unmarshaler = (*OnResponse)(nil)
