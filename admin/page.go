package admin

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

func init() { caddy.RegisterModule(new(StatusPage)) }

// PageDirective is the name of the directive and of the handler.
const PageDirective = "load_balancer_status"

// StatusPage serves a page that shows all pools of this Caddy: their upstreams with
// state, reason, traffic and latency, the latest events, and the orders in force. Whoever
// can reach it sees them: it asks for no password.
type StatusPage struct {
	// Let visitors give orders: drain an upstream, change its weight, pause a pool.
	// Default: false, the page only shows.
	AllowOrders bool `json:"allow_orders,omitempty"`

	live   *live
	logger *zap.Logger
}

// CaddyModule returns the Caddy module information.
func (*StatusPage) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers." + PageDirective,
		New: func() caddy.Module { return new(StatusPage) },
	}
}

// Provision has the page's streams end when its server begins to shut down: that waits
// for them, and the page's Cleanup comes later.
func (p *StatusPage) Provision(ctx caddy.Context) error {
	p.logger = ctx.Logger()
	p.live = newLive(currentModel)
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		server.RegisterOnShutdown(p.live.end)
	}
	return nil
}

// Cleanup ends what has not ended.
func (p *StatusPage) Cleanup() error {
	if p.live != nil {
		p.live.end()
	}
	return nil
}

// currentModel returns what the page shows now.
func currentModel() *pageModel { return modelOf(views(), listOrders(), pool.Events.Latest()) }

// ServeHTTP implements [caddyhttp.MiddlewareHandler].
func (p *StatusPage) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	setPageHeaders(w.Header(), p.AllowOrders)
	err := p.serve(w, r)
	known := caddy.APIError{}
	if !errors.As(err, &known) {
		return err
	}
	return caddyhttp.Error(known.HTTPStatus, known.Err)
}

func (p *StatusPage) serve(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if r.URL.Query().Has("live") {
			return p.live.stream(w, r)
		}
		return p.show(w, r, http.StatusOK, "")
	case http.MethodPost:
		if p.AllowOrders {
			return p.takeOrder(w, r)
		}
	}
	allow := "GET, HEAD"
	if p.AllowOrders {
		allow += ", POST"
	}
	w.Header().Set("Allow", allow)
	return fail(http.StatusMethodNotAllowed, fmt.Errorf("method %s is not allowed; allowed: %s", r.Method, allow))
}

//go:embed page/page.html page/page.css page/page.js
var pageFiles embed.FS

// embedded returns a file of the page.
func embedded(name string) string {
	text, _ := pageFiles.ReadFile("page/" + name) // it is there: see the directive above
	return string(text)
}

var pageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Parse(embedded("page.html")))
})

// pageData is what the template shows.
type pageData struct {
	*pageModel
	Style, Script template.HTML
	AllowOrders   bool
	Token         string // for orders
	Done          string // what was done, after an order
	Failed        string // why it was not done
}

// show answers with the page.
func (p *StatusPage) show(w http.ResponseWriter, r *http.Request, status int, failed string) error {
	data := pageData{pageModel: currentModel(), AllowOrders: p.AllowOrders, Failed: failed, Style: pageStyle, Script: pageScript}
	if p.AllowOrders {
		data.Token = tokenOf(visitor(w, r))
		data.Done = done[r.URL.Query().Get("done")]
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	if err := pageTemplate().Execute(w, data); err != nil {
		p.logger.Debug("the status page was not sent whole", zap.Error(err)) // the client has gone
	}
	return nil
}

// ParsePage parses the directive. Syntax:
//
//	load_balancer_status [<matcher>] {
//		allow_orders
//	}
func ParsePage(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h.Next() // consume the directive's name; Caddy has taken the matcher
	if args := h.RemainingArgs(); len(args) > 0 && !strings.HasPrefix(args[0], "/") {
		return nil, h.Errf("%s: '%s' is no path: it does not begin with '/'", PageDirective, args[0])
	} else if len(args) > 0 {
		return nil, h.Errf("%s: unexpected argument '%s': one path is enough, or a named matcher of several", PageDirective, args[0])
	}
	p, seen := new(StatusPage), make(cfg.Seen)
	for h.NextBlock(0) {
		if err := seen.Once(h.Dispenser); err != nil {
			return nil, err
		}
		if h.Val() != "allow_orders" {
			return nil, cfg.Unknown(h.Dispenser, PageDirective)
		}
		p.AllowOrders = true
		if err := cfg.Flag(h.Dispenser); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func init() { cfg.Options(PageDirective, "", "allow_orders") }

// Interface guards
var (
	_ caddy.Provisioner           = (*StatusPage)(nil)
	_ caddy.CleanerUpper          = (*StatusPage)(nil)
	_ caddyhttp.MiddlewareHandler = (*StatusPage)(nil)
)
