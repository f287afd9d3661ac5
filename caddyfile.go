package evenkeel

import (
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
)

func init() { httpcaddyfile.RegisterGlobalOption("load_balancer", parseGlobalOption) }

// parseGlobalOption parses the global option load_balancer, whose syntax is
// that of the app of this name.
func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next()
		return nil, d.Err("duplicate option 'load_balancer'")
	}
	app := new(healthcheck.App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "load_balancer", Value: caddyconfig.JSON(app, nil)}, nil
}
