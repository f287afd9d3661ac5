package selectors

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-evenkeel/evenkeel/pool"
)

// stickySessions finds sessions among the upstreams of a membership. The numbers in
// its maps are members' indices.
type stickySessions struct {
	policy    *Sticky
	tokens    []string       // of the members, by the newest secret
	byToken   map[string]int // twice the index, and 1 more if the secret is an old one
	byRoute   map[string]int
	byAddress map[string]int
}

// signer makes the tokens that clients are given: of equal upstreams the same.
// No one else can make them, or tell what they are of, so that finding one in the
// table proves it: no signature need be computed for a request.
type signer struct{ secret []byte }

// token returns what names the upstream at the address.
func (s signer) token(address string) string {
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte("upstream\x00" + address))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:tokenSize])
}

// tokenSize is enough bytes that guessing is vain.
const tokenSize = 16

var tokenLength = base64.RawURLEncoding.EncodedLen(tokenSize)

// sessionsAmong is what the policy does as Sessions of its [pool.Features].
func (p *Sticky) sessionsAmong(addresses []string) pool.Sessions {
	s := &stickySessions{
		policy:    p,
		byToken:   make(map[string]int, len(addresses)*len(p.signers)),
		byRoute:   make(map[string]int),
		byAddress: make(map[string]int, len(addresses)),
	}
	for member, address := range addresses {
		if _, twice := s.byAddress[address]; !twice {
			s.byAddress[address] = member
		}
		for i, signer := range p.signers {
			token := signer.token(address)
			if i == 0 {
				s.tokens = append(s.tokens, token)
			}
			if _, twice := s.byToken[token]; !twice {
				s.byToken[token] = 2*member + min(i, 1)
			}
		}
		routes, _ := p.routes.Get(address)
		for _, route := range routes {
			if _, twice := s.byRoute[route]; !twice {
				s.byRoute[route] = member
			}
		}
	}
	return s
}

// Find implements [pool.Sessions].
func (s *stickySessions) Find(q *pool.Query) pool.Session {
	session, ok := pool.Session{}, false
	if q.Request != nil {
		session, ok = s.find(q.Request)
	}
	if !ok {
		return pool.Session{Member: pool.None}
	}
	session.Strict = s.policy.Strict
	return session
}

// find returns the session that something of the request names.
func (s *stickySessions) find(r *http.Request) (session pool.Session, ok bool) {
	p, cookies := s.policy, s.policy.cookies(r)
	if p.Cookie != "" {
		if value, ok := cookieIn(cookies, p.Cookie); ok {
			if session, ok := s.inCookie(value); ok {
				return session, true
			}
		}
	}
	if p.Header != "" {
		if values := sent(r, p.Header); len(values) == 1 {
			if session, ok := s.named(values[0]); ok {
				return session, true
			}
		}
	}
	member, ok := s.byApplication(r, cookies)
	return pool.Session{Member: member, Renew: p.Cookie != ""}, ok
}

// byApplication returns the member that the application's own cookie leads to: by
// the name of a route, or by what was learned.
func (s *stickySessions) byApplication(r *http.Request, cookies []string) (member int, ok bool) {
	for _, name := range s.policy.suffixed {
		for value := range cookiesOf(cookies, name) {
			if member, ok := s.routed(value); ok {
				return member, true
			}
		}
		if member, ok := s.routed(pathParameter(r, name)); ok {
			return member, true
		}
	}
	if learned := s.policy.learned; learned != nil {
		return learned.find(cookies, s.byAddress)
	}
	return 0, false
}

// routed returns the member that the end of the cookie's value names.
func (s *stickySessions) routed(value string) (member int, ok bool) {
	if i := strings.LastIndexByte(value, '.'); i >= 0 {
		member, ok = s.byRoute[value[i+1:]]
	}
	return member, ok
}

// named returns the session that the token names.
func (s *stickySessions) named(token string) (pool.Session, bool) {
	if len(token) != tokenLength {
		return pool.Session{}, false
	}
	n, ok := s.byToken[token]
	return pool.Session{Member: n / 2, Renew: n%2 == 1}, ok
}

// inCookie returns the session that our cookie's value names: by a token, which a
// period and a stamp may follow.
func (s *stickySessions) inCookie(value string) (pool.Session, bool) {
	token, stamp := value, ""
	if len(value) == tokenLength+1+stampLength && value[tokenLength] == '.' {
		token, stamp = value[:tokenLength], value[tokenLength+1:]
	}
	session, ok := s.named(token)
	if stamps := s.policy.stamps; ok && stamps != nil && !stamps.fresh(stamp, time.Now()) {
		session.Renew = true
	}
	return session, ok
}

// Settle implements [pool.Sessions]: it tells the client where its session is, if
// that is news.
func (s *stickySessions) Settle(q *pool.Query, session pool.Session, member int) {
	p := s.policy
	if q.Writer == nil || p.Cookie == "" && p.Header == "" {
		return
	}
	header := q.Writer.Header()
	p.editor.undo(q.Request, header)
	if member < 0 || member == session.Member && !session.Renew {
		return
	}
	token := s.tokens[member]
	if p.Header != "" {
		p.editor.set(q.Request, header, p.Header, token)
	}
	if p.Cookie != "" {
		cookie := p.template
		cookie.Value = token
		if p.stamps != nil {
			cookie.Value += "." + p.stamps.at(time.Now()).now
		}
		cookie.Secure = cookie.Secure || overTLS(q.Request)
		p.editor.set(q.Request, header, "Set-Cookie", cookie.String())
		if !p.Cacheable && len(header[cacheControl]) == 0 {
			p.editor.set(q.Request, header, cacheControl, "private")
		}
	}
}

const cacheControl = "Cache-Control"

// overTLS reports whether the client uses TLS: up to here, or up to a proxy that
// is trusted.
func overTLS(r *http.Request) bool {
	if r == nil {
		return false
	}
	if r.TLS != nil {
		return true
	}
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	forwarded := sent(r, "X-Forwarded-Proto")
	return trusted && len(forwarded) > 0 && strings.EqualFold(forwarded[len(forwarded)-1], "https")
}

// remember fetches the learned sessions. Those of all names are in one table, so that
// they stay when another name is added.
func (p *Sticky) remember(kept func(key string, create func() any) any) {
	if p.learned != nil {
		p.learned.shards = kept("learned sessions", func() any { return new(shards) }).(*shards)
	}
}

// observeResponse learns sessions from a response. What that says of caches goes
// before what we do.
func (p *Sticky) observeResponse(ctx context.Context, address string, header http.Header) {
	if p.Cookie != "" && len(header[cacheControl]) > 0 {
		p.editor.undoField(ctx, cacheControl)
	}
	if p.learned != nil {
		p.learned.learn(p.cookiesIn(ctx), address, header)
	}
}
