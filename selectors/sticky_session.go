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

// seating tells where sessions are among the upstreams of a list.
type seating struct {
	tokens    []string       // of the upstreams, by the newest secret
	byToken   map[string]int // 2 × place, and 1 more if the secret is an old one
	byRoute   map[string]int
	byAddress map[string]int
}

// signer makes the tokens that clients are given: of equal upstreams the same.
// Nobody else can make them, or tell what they are of, so that finding one in the
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

// Seat implements [pool.Sessional].
func (p *Sticky) Seat(addresses []string) any {
	s := &seating{
		byToken:   make(map[string]int, len(addresses)*len(p.signers)),
		byRoute:   make(map[string]int),
		byAddress: make(map[string]int, len(addresses)),
	}
	for place, address := range addresses {
		if _, twice := s.byAddress[address]; !twice {
			s.byAddress[address] = place
		}
		for i, signer := range p.signers {
			token := signer.token(address)
			if i == 0 {
				s.tokens = append(s.tokens, token)
			}
			if _, twice := s.byToken[token]; !twice {
				s.byToken[token] = 2*place + min(i, 1)
			}
		}
		routes, _ := p.routes.Get(address)
		for _, route := range routes {
			if _, twice := s.byRoute[route]; !twice {
				s.byRoute[route] = place
			}
		}
	}
	return s
}

// Session implements [pool.Sessional].
func (p *Sticky) Session(q pool.Query, made any) pool.Session {
	none := pool.Session{Place: pool.None}
	if q.Request == nil {
		return none
	}
	s, cookies := made.(*seating), p.cookies(q.Request)
	if p.Cookie != "" {
		if value, ok := cookieIn(cookies, p.Cookie); ok {
			if session, ok := p.inCookie(s, value); ok {
				return p.of(session)
			}
		}
	}
	if p.Header != "" {
		if values := sent(q.Request, p.Header); len(values) == 1 {
			if session, ok := s.named(values[0]); ok {
				return p.of(session)
			}
		}
	}
	for _, name := range p.suffixed {
		for value := range cookiesOf(cookies, name) {
			if place, ok := s.routed(value); ok {
				return p.of(pool.Session{Place: place, Renew: p.Cookie != ""})
			}
		}
		if place, ok := s.routed(pathParameter(q.Request, name)); ok {
			return p.of(pool.Session{Place: place, Renew: p.Cookie != ""})
		}
	}
	if p.learned != nil {
		if place, ok := p.learned.place(cookies, s.byAddress); ok {
			return p.of(pool.Session{Place: place, Renew: p.Cookie != ""})
		}
	}
	return none
}

// of returns the session as the policy treats it.
func (p *Sticky) of(s pool.Session) pool.Session {
	s.Strict = p.Strict
	return s
}

// routed returns whom the end of the cookie's value names.
func (s *seating) routed(value string) (place int, ok bool) {
	if i := strings.LastIndexByte(value, '.'); i >= 0 {
		place, ok = s.byRoute[value[i+1:]]
	}
	return place, ok
}

// named returns the session that the token names.
func (s *seating) named(token string) (pool.Session, bool) {
	if len(token) != tokenLength {
		return pool.Session{}, false
	}
	n, ok := s.byToken[token]
	return pool.Session{Place: n / 2, Renew: n%2 == 1}, ok
}

// inCookie returns the session that our cookie's value names: by a token, which a
// period and a stamp may follow.
func (p *Sticky) inCookie(s *seating, value string) (pool.Session, bool) {
	token, stamp := value, ""
	if len(value) == tokenLength+1+stampLength && value[tokenLength] == '.' {
		token, stamp = value[:tokenLength], value[tokenLength+1:]
	}
	session, ok := s.named(token)
	if ok && p.stamps != nil && !p.stamps.fresh(stamp, time.Now()) {
		session.Renew = true
	}
	return session, ok
}

// Settle implements [pool.Sessional]: it tells the client where its session is,
// if that is news.
func (p *Sticky) Settle(q pool.Query, made any, s pool.Session, place int) {
	if q.Writer == nil || p.Cookie == "" && p.Header == "" {
		return
	}
	header := q.Writer.Header()
	p.given.takeBack(q.Request, header)
	if place < 0 || place == s.Place && !s.Renew {
		return
	}
	token := made.(*seating).tokens[place]
	if p.Header != "" {
		p.given.set(q.Request, header, p.Header, token)
	}
	if p.Cookie != "" {
		cookie := p.template
		cookie.Value = token
		if p.stamps != nil {
			cookie.Value += "." + p.stamps.at(time.Now()).now
		}
		cookie.Secure = cookie.Secure || overTLS(q.Request)
		p.given.set(q.Request, header, "Set-Cookie", cookie.String())
		if !p.Cacheable && len(header[cacheControl]) == 0 {
			p.given.set(q.Request, header, cacheControl, "private")
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

// Remember implements [pool.Rememberer]. Sessions of all names are in one table, so that
// they stay when another name is added.
func (p *Sticky) Remember(kept func(key string, create func() any) any) {
	if p.learned != nil {
		p.learned.shards = kept("learned sessions", func() any { return new(shards) }).(*shards)
	}
}

// LearnFrom implements [pool.Learner]. What the response says of caches goes before
// what we do.
func (p *Sticky) LearnFrom(ctx context.Context, address string, header http.Header) {
	if p.Cookie != "" && len(header[cacheControl]) > 0 {
		p.given.withdraw(ctx, cacheControl)
	}
	if p.learned != nil {
		p.learned.learn(p.cookiesIn(ctx), address, header)
	}
}
