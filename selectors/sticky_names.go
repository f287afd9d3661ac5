package selectors

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

const (
	defaultCookie = "lb"
	tomcatsCookie = "JSESSIONID"
)

// setNames says which cookies and header fields are looked at, and how they are
// set.
func (p *Sticky) setNames() {
	if len(p.Route) > 0 {
		p.suffixed = p.Learn
		if len(p.Learn) == 0 {
			// The cookie is the application's, not ours to set.
			p.suffixed = []string{p.Cookie}
			if p.Cookie == "" {
				p.suffixed = []string{tomcatsCookie}
			}
			p.Cookie = ""
		}
	}
	named := p.Header != "" || len(p.Learn)+len(p.Route) > 0 && len(p.Secret) == 0
	if p.Cookie == "" && !named {
		p.Cookie = defaultCookie
	}
	if p.Path == "" {
		p.Path = "/"
	}
	p.Header = http.CanonicalHeaderKey(p.Header)
}

// sameSites are the values of the option of that name.
var sameSites = map[string]http.SameSite{
	"": http.SameSiteLaxMode, "lax": http.SameSiteLaxMode, "strict": http.SameSiteStrictMode, "none": http.SameSiteNoneMode,
}

// Prefixes of cookies' names that bind clients (RFC 6265bis, 4.1.3).
const (
	securePrefix = "__Secure-"
	hostPrefix   = "__Host-"
)

// validate rejects what clients would not understand.
func (p *Sticky) validate() error {
	if p.Header != "" && !httpguts.ValidHeaderFieldName(p.Header) {
		return fmt.Errorf("header: '%s' is not the name of a header field", p.Header)
	}
	if p.Header == "Cookie" || p.Header == "Set-Cookie" || p.Header == "Host" {
		return fmt.Errorf("header: %s has a meaning of its own", p.Header)
	}
	if err := checkDistinct("learn", p.Learn); err != nil {
		return err
	}
	for _, name := range slices.Concat(p.Learn, p.suffixed) {
		if !httpguts.ValidHeaderFieldName(name) { // both are tokens
			return fmt.Errorf("'%s' is not the name of a cookie", name)
		}
	}
	site, ok := sameSites[strings.ToLower(p.SameSite)]
	age := time.Duration(p.MaxAge)
	switch {
	case !ok:
		return fmt.Errorf("same_site: '%s' is none of lax, strict and none", p.SameSite)
	case age < 0 || age > cfg.MaxDuration:
		return fmt.Errorf("max_age: %s is not above zero and at most ten years", age)
	case age%time.Second != 0:
		return fmt.Errorf("max_age: %s is not in whole seconds", age)
	case p.Renew && age == 0:
		return errors.New("renew needs max_age: without it the cookie stays until the browser is closed")
	case p.Keep && p.Cookie == "" && p.Header == "":
		return errors.New("keep: there is neither a cookie nor a header of ours")
	}
	p.template = http.Cookie{
		Name: p.Cookie, Path: p.Path, Domain: p.Domain, MaxAge: int(age / time.Second),
		Secure: p.Secure, SameSite: site, Partitioned: p.Partitioned, HttpOnly: true,
	}
	if p.Cookie == "" {
		return p.validateNoCookie()
	}
	name := strings.ToLower(p.Cookie)
	switch {
	case !httpguts.ValidHeaderFieldName(p.Cookie):
		return fmt.Errorf("'%s' is not the name of a cookie", p.Cookie)
	case slices.Contains(p.Learn, p.Cookie):
		return fmt.Errorf("learn: '%s' is the name of our own cookie", p.Cookie)
	case p.Path[0] != '/':
		return fmt.Errorf("path: '%s' does not begin with a slash", p.Path)
	case site == http.SameSiteNoneMode && !p.Secure:
		return errors.New("same_site: none needs secure")
	case p.Partitioned && !p.Secure:
		return errors.New("partitioned needs secure")
	case strings.HasPrefix(name, strings.ToLower(securePrefix)) && !p.Secure:
		return fmt.Errorf("a cookie whose name begins with %s needs secure", securePrefix)
	case strings.HasPrefix(name, strings.ToLower(hostPrefix)) && (!p.Secure || p.Domain != "" || p.Path != "/"):
		return fmt.Errorf("a cookie whose name begins with %s needs secure, the path / and no domain", hostPrefix)
	}
	if err := p.template.Valid(); err != nil {
		return fmt.Errorf("path or domain: %s", strings.TrimPrefix(err.Error(), "http: "))
	}
	return nil
}

// validateNoCookie rejects options of a cookie that is never set.
func (p *Sticky) validateNoCookie() error {
	set := map[string]bool{
		"path": p.Path != "/", "domain": p.Domain != "", "secure": p.Secure,
		"same_site": p.SameSite != "", "partitioned": p.Partitioned,
		"max_age": p.MaxAge > 0 && len(p.Learn) == 0, "renew": p.Renew, "cacheable": p.Cacheable,
	}
	for _, option := range []string{"path", "domain", "max_age", "secure", "same_site", "partitioned", "renew", "cacheable"} {
		if set[option] {
			return fmt.Errorf("%s: no cookie is set where header, learn or route is used without the name of one", option)
		}
	}
	return nil
}
