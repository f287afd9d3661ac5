package selectors

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

// processSecret signs where no secret is configured.
var processSecret = sync.OnceValue(func() []byte {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	return secret
})

// site is a field of log lines that tells which site's policy this is.
func (p *Sticky) site() zap.Field {
	addresses, _ := p.handle.Addresses()
	return zap.Strings("upstreams", addresses[:min(len(addresses), 3)])
}

// provisionSecrets makes the signers. Errors do not reveal secrets.
func (p *Sticky) provisionSecrets(ctx caddy.Context) error {
	p.signers = nil
	if len(p.Secret) == 0 {
		p.signers = []signer{{processSecret()}}
		if p.Cookie != "" || p.Header != "" {
			ctx.Logger().Warn("no secret: sessions end when this process does, and other instances do not know them", p.site())
		}
		return nil
	}
	var secrets []string
	for i, text := range p.Secret {
		secret, err := fillSecret(text)
		if err == errBraces {
			return fmt.Errorf("secret: number %d %v", i+1, err)
		}
		if err != nil {
			return fmt.Errorf("secret: %v", err)
		}
		if len(secret) < shortSecret {
			ctx.Logger().Warn("a secret is so short that it might be guessed",
				append(sizes(secret), p.site(), zap.Int("secret", i+1))...)
		}
		secrets = append(secrets, secret)
		p.signers = append(p.signers, signer{[]byte(secret)})
	}
	if checkDistinct("", secrets) != nil {
		return errors.New("secret: two are the same; remove one")
	}
	return nil
}

// checkRoute returns an error if the name cannot be what a cookie ends in, or if
// the upstream is none.
func checkRoute(name, upstream string) error {
	if name == "" || strings.ContainsAny(name, ".;, \t\"") {
		return fmt.Errorf("route: '%s' is not the name of a route, which has no period, semicolon or space", name)
	}
	if _, err := cfg.ParseUpstream(upstream); err != nil {
		return fmt.Errorf("route %s: %v", name, err)
	}
	return nil
}

// provisionRoutes makes the routes. Each leads to one upstream.
func (p *Sticky) provisionRoutes(ctx caddy.Context) error {
	p.routes = cfg.Upstreams[[]string]{}
	names := make(map[cfg.Match][]string)
	for name, upstream := range p.Route {
		if err := checkRoute(name, upstream); err != nil {
			return err
		}
		matches, _ := cfg.ParseUpstream(upstream)
		for _, m := range matches {
			names[m] = append(names[m], name)
		}
	}
	for m, of := range names {
		p.routes.Set(m, of)
	}
	addresses, fixed := p.handle.Addresses()
	if !fixed {
		return nil
	}
	upstreams := make(map[string]string) // by route
	for _, address := range addresses {
		of, _ := p.routes.Get(address)
		for _, name := range of {
			if other := upstreams[name]; other != "" && other != address {
				return fmt.Errorf("route %s: '%s' is more than one upstream", name, p.Route[name])
			}
			upstreams[name] = address
		}
	}
	for name, upstream := range p.Route {
		if upstreams[name] == "" {
			return fmt.Errorf("route %s: %v", name, cfg.NoUpstream(upstream, addresses))
		}
	}
	for _, address := range addresses {
		if _, ok := p.routes.Get(address); !ok && len(p.Route) > 0 {
			ctx.Logger().Warn("no route leads to an upstream: it keeps no session by its name", zap.String("upstream", address))
		}
	}
	return nil
}

// Cleanup ends what the policy has under way in the background.
func (p *Sticky) Cleanup() error {
	p.part()
	return p.common.Cleanup()
}
