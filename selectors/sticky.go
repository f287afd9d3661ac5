package selectors

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

func init() { caddy.RegisterModule(new(Sticky)) }

// Sticky is a policy that has the requests of one session meet one upstream. It
// tells the client which one by a cookie or a header whose value is signed and
// does not reveal the address, or learns it from the application's own cookie.
//
// A session stays with its upstream when that is drained or has weight 0, and
// moves when it is down: the client is told at once.
type Sticky struct {
	common

	// Name of the cookie that says where a session is. Default: lb; none where
	// header is there, or learn or route without a secret.
	Cookie string `json:"cookie,omitempty"`

	// Secrets that sign what clients are told. The first one signs; what another
	// one has signed counts as well, and is replaced. Placeholders such as
	// {env.LB_SECRET} and {file./run/secrets/lb} are replaced when the
	// configuration is loaded. Default: one made at random at the start of the
	// process, so that sessions end with it.
	Secret []string `json:"secret,omitempty"`

	// Path that the cookie is for. Default: /.
	Path string `json:"path,omitempty"`

	// Domain that the cookie is for, with those below it. Default: the host
	// that the request was for, alone.
	Domain string `json:"domain,omitempty"`

	// How long the client keeps the cookie, from when it was set, in whole
	// seconds; also how long a learned session is remembered that is not used.
	// Default: the cookie goes when the browser is closed; an hour.
	MaxAge caddy.Duration `json:"max_age,omitempty"`

	// Whether the client sends the cookie over TLS only. Default: if the
	// request that it is set on came over TLS.
	Secure bool `json:"secure,omitempty"`

	// When the client sends the cookie on requests that come from other sites:
	// lax (on links followed), strict (never) or none (always; needs secure).
	// Default: lax.
	SameSite string `json:"same_site,omitempty"`

	// Whether the client keeps a cookie for each site that embeds this one.
	// Needs secure. Default: false.
	Partitioned bool `json:"partitioned,omitempty"`

	// Header field, of responses and of the requests that follow, which says
	// where a session is. Default: none.
	Header string `json:"header,omitempty"`

	// Cookies of the application's: the upstream that has set one gets it back.
	Learn []string `json:"learn,omitempty"`

	// Upstreams by name, where the application's cookie ends in a period and
	// the name of the upstream that has set it, as Tomcat's JSESSIONID does. The cookies are
	// those of learn, else the one named as cookie, else JSESSIONID.
	Route map[string]string `json:"route,omitempty"`

	// Whether a request whose upstream is not to be had gets a 503 instead of
	// another upstream. Default: false.
	Strict bool `json:"strict,omitempty"`

	// Whether the cookie is set again when half of max_age is over, so that a
	// session lasts as long as it is used. Needs max_age. Default: false.
	Renew bool `json:"renew,omitempty"`

	// Whether upstreams are sent our cookie and header, too. Default: false.
	Keep bool `json:"keep,omitempty"`

	// Whether a response that sets our cookie is sent without Cache-Control:
	// private, where it has no Cache-Control of its own. Default: false.
	Cacheable bool `json:"cacheable,omitempty"`

	// Policy for requests without a session. Default: weighted_random.
	FallbackRaw json.RawMessage `json:"fallback,omitempty" caddy:"namespace=http.reverse_proxy.selection_policies inline_key=policy"`

	fallback *inner
	signers  []signer // by the secrets
	routes   cfg.Upstreams[[]string]
	suffixed []string // cookies that end in the name of a route
	learned  *learned // nil where nothing is to be learned
	template http.Cookie
	stamps   *stamps // nil where cookies are not renewed
	editor   responseEditor
	hood     neighbourhood
	lines    string // where a request's replacer keeps its cookies, if they are in several lines
}

// CaddyModule returns the Caddy module information.
func (*Sticky) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  namespace + ".sticky",
		New: func() caddy.Module { return new(Sticky) },
	}
}

// Provision sets up the policy.
func (p *Sticky) Provision(ctx caddy.Context) error {
	p.setNames()
	if err := p.validate(); err != nil {
		return err
	}
	features := pool.Features{
		Key: p.key, Sessions: p.sessionsAmong, Undo: p.undo,
		ObserveResponse: p.observeResponse, Hide: p.hide, Remember: p.remember,
	}
	if err := p.handle.Provision(ctx, &p.Options, p, features); err != nil {
		return err
	}
	if err := p.provisionSecrets(ctx); err != nil {
		return err
	}
	if err := p.provisionRoutes(ctx); err != nil {
		return err
	}
	if len(p.Learn) > 0 {
		p.learned = newLearned(p.Learn, time.Duration(p.MaxAge))
	}
	if p.Renew {
		p.stamps = newStamps(p.signers[0], time.Duration(p.MaxAge))
	}
	p.lines = fmt.Sprintf("http.load_balancer.lines.%p", p)
	p.editor = newResponseEditor(p, "Set-Cookie", p.Header)
	var err error
	if p.fallback, err = loadFallback(p.handle.Enclose(ctx), p, &p.FallbackRaw); err != nil {
		return err
	}
	if name := p.fallback.cookie(); name != "" && name == p.Cookie {
		return fmt.Errorf("fallback: '%s' is the name of our own cookie, too; give one of them another", name)
	}
	p.meet(ctx)
	return p.handle.Start()
}

// Build implements [pool.Policy]: its picker picks for requests without a session.
func (p *Sticky) Build(next *pool.Tier, before pool.Picker) pool.Picker {
	return p.fallback.build(next, before)
}

func (p *Sticky) key(r *http.Request) (uint32, bool) { return p.fallback.key(r) }

// undo takes back what this policy and its fallback have set on the response.
func (p *Sticky) undo(r *http.Request, header http.Header) {
	p.fallback.cookies.undo(r, header)
	p.editor.undo(r, header)
}

// Interface guards
var (
	_ reverseproxy.Selector = (*Sticky)(nil)
	_ pool.Policy           = (*Sticky)(nil)
	_ caddy.Provisioner     = (*Sticky)(nil)
	_ caddy.CleanerUpper    = (*Sticky)(nil)
	_ caddyfile.Unmarshaler = (*Sticky)(nil)
)
