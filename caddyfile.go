package evenkeel

import (
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/caddy-evenkeel/evenkeel/admin"
	"github.com/caddy-evenkeel/evenkeel/internal/app"
)

func init() {
	httpcaddyfile.RegisterGlobalOption(app.Name, parseGlobalOption)
	httpcaddyfile.RegisterHandlerDirective(admin.PageDirective, admin.ParsePage)
	// Beside metrics, and like that behind all that may keep a visitor out.
	httpcaddyfile.RegisterDirectiveOrder(admin.PageDirective, httpcaddyfile.After, "metrics")
}

// parseGlobalOption parses the global option load_balancer, whose syntax is
// that of the app of this name.
func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next()
		return nil, d.Err("duplicate option 'load_balancer'")
	}
	a := new(app.App)
	if err := a.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: app.Name, Value: caddyconfig.JSON(a, nil)}, nil
}
