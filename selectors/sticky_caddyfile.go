package selectors

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

func init() {
	cfg.Options("sticky", "lb_policy", "secret", "path", "domain", "max_age", "secure", "same_site", "partitioned", "header",
		"learn", "route", "strict", "renew", "keep", "cacheable", "fallback")
}

// UnmarshalCaddyfile sets up the policy from Caddyfile tokens. Syntax:
//
//	lb_policy sticky [<cookie>] {
//		secret      <new> [<old...>]
//		path        <path>
//		domain      <domain>
//		max_age     <duration>
//		secure
//		same_site   lax|strict|none
//		partitioned
//		header      <field>
//		learn       <cookie>
//		route       <name> <upstream>
//		strict
//		renew
//		keep
//		cacheable
//		fallback    <policy> [<args...>]
//		# options that every policy has
//	}
//
// learn and route may repeat.
func (p *Sticky) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the policy's name
	name := d.Token()
	switch args := d.RemainingArgs(); {
	case len(args) > 1:
		return cfg.ErrAt(name, "sticky: unexpected argument '%s'", args[1])
	case len(args) == 1 && args[0] == "":
		return cfg.ErrAt(name, "sticky: empty name of a cookie")
	case len(args) == 1:
		p.Cookie = args[0]
	}
	own := func() (bool, error) { return p.unmarshalOption(d) }
	if err := p.unmarshalBlock(d, "sticky", own, "learn", "route"); err != nil {
		return err
	}
	checked := *p // so as not to make defaults part of the configuration
	checked.setNames()
	if err := checked.validate(); err != nil {
		return cfg.ErrAt(name, "sticky: %v", err)
	}
	return nil
}

// unmarshalOption parses the option at the cursor if it is the policy's own.
func (p *Sticky) unmarshalOption(d *caddyfile.Dispenser) (known bool, err error) {
	switch option := d.Val(); option {
	case "secret":
		p.Secret, err = cfg.Args(d, 1, -1)
		for _, secret := range p.Secret {
			if err == nil && secret == "" {
				err = d.Err("secret: empty")
			}
		}
	case "path":
		if p.Path, err = cfg.Arg(d); err == nil && !strings.HasPrefix(p.Path, "/") {
			err = d.Errf("path: '%s' does not begin with a slash", p.Path)
		}
	case "domain":
		p.Domain, err = notEmpty(d)
	case "max_age":
		p.MaxAge, err = cfg.Duration(d)
	case "secure":
		p.Secure, err = true, cfg.Flag(d)
	case "same_site":
		p.SameSite, err = cfg.Arg(d)
		if _, ok := sameSites[strings.ToLower(p.SameSite)]; err == nil && (!ok || p.SameSite == "") {
			err = d.Errf("same_site: '%s' is none of lax, strict and none", p.SameSite)
		}
	case "partitioned":
		p.Partitioned, err = true, cfg.Flag(d)
	case "header":
		p.Header, err = notEmpty(d)
	case "learn":
		var cookie string
		if cookie, err = notEmpty(d); err == nil {
			p.Learn = append(p.Learn, cookie)
			err = wrap(d, checkDistinct("learn", p.Learn))
		}
	case "route":
		err = p.unmarshalRoute(d)
	case "strict":
		p.Strict, err = true, cfg.Flag(d)
	case "renew":
		p.Renew, err = true, cfg.Flag(d)
	case "keep":
		p.Keep, err = true, cfg.Flag(d)
	case "cacheable":
		p.Cacheable, err = true, cfg.Flag(d)
	case "fallback":
		p.FallbackRaw, err = unmarshalFallback(d)
	default:
		return false, nil
	}
	return true, err
}

// unmarshalRoute parses the option at the cursor. Syntax:
//
//	route <name> <upstream>
func (p *Sticky) unmarshalRoute(d *caddyfile.Dispenser) error {
	args, err := cfg.Args(d, 2, 2)
	if err != nil {
		return err
	}
	name, upstream := args[0], args[1]
	if _, ok := p.Route[name]; ok {
		return d.Errf("route: duplicate name '%s'", name)
	}
	if err := checkRoute(name, upstream); err != nil {
		return d.WrapErr(err)
	}
	if p.Route == nil {
		p.Route = make(map[string]string)
	}
	p.Route[name] = upstream
	return nil
}

// notEmpty parses the option's only argument.
func notEmpty(d *caddyfile.Dispenser) (string, error) {
	option := d.Val()
	arg, err := cfg.Arg(d)
	if err == nil && arg == "" {
		err = d.Errf("%s: empty", option)
	}
	return arg, err
}

func wrap(d *caddyfile.Dispenser, err error) error {
	if err == nil {
		return nil
	}
	return d.WrapErr(err)
}

// checkDistinct returns an error if a value is there twice.
func checkDistinct(option string, values []string) error {
	seen := make(map[string]bool)
	for _, v := range values {
		if seen[v] {
			return fmt.Errorf("%s: duplicate '%s'", option, v)
		}
		seen[v] = true
	}
	return nil
}
