package integration

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestTheCookieRevealsNothingOfTheAddress(t *testing.T) {
	b := start(t, "a")
	host, port, _ := net.SplitHostPort(b.addr)
	p := run(t, policy(b.addr, "sticky", calm+"\nsecret "+oldSecret))
	value := strings.TrimPrefix(onlyCookie(t, p.get("/")), "lb=")
	raw, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		t.Fatal(err)
	}
	// What could be looked up without the secret.
	sum := hmac.New(sha256.New, nil)
	sum.Write([]byte(b.addr))
	sha, older, oldest := sha256.Sum256([]byte(b.addr)), sha1.Sum([]byte(b.addr)), md5.Sum([]byte(b.addr))
	for name, of := range map[string][]byte{
		"address": []byte(b.addr), "host": []byte(host), "port": []byte(port), "IP": net.ParseIP(host).To4(),
		"SHA-256": sha[:8], "SHA-1": older[:8], "MD5": oldest[:8], "HMAC without a key": sum.Sum(nil)[:8],
	} {
		if bytes.Contains(raw, of) || strings.Contains(value, string(of)) || strings.Contains(value, hex.EncodeToString(of)) {
			t.Errorf("%q has the %s", value, name)
		}
	}
	p.reload(policy(b.addr, "sticky", calm+"\nsecret "+newSecret))
	if other := strings.TrimPrefix(onlyCookie(t, p.get("/")), "lb="); other == value {
		t.Errorf("%q by two secrets", value)
	}
}

func TestForgedSessionsAreNewOnes(t *testing.T) {
	b := backends(t, "a", "b")
	p := run(t, sticky(b, calm))
	set := p.get("/").header.Get("Set-Cookie")
	if !regexp.MustCompile(`^lb=[A-Za-z0-9_-]{22}; Path=/; HttpOnly; SameSite=Lax$`).MatchString(set) {
		t.Errorf("set %q", set)
	}
	cookie, _, _ := strings.Cut(set, ";")
	for name, forged := range map[string]string{
		"address":   "lb=" + b[0].addr,
		"empty":     "lb=",
		"shorter":   cookie[:len(cookie)-1],
		"longer":    cookie + "A",
		"another":   cookie[:len(cookie)-4] + "AAAA",
		"in quotes": fmt.Sprintf("lb=%q", cookie[len("lb="):]),
		"twice":     cookie + "; " + cookie,
		"huge":      "lb=" + strings.Repeat("A", 15_000),
		"binary":    "lb=\x80\xff\xfe",
	} {
		t.Run(name, func(t *testing.T) {
			if a := p.get("/", "Cookie", forged); a.status != http.StatusOK || len(a.header.Values("Set-Cookie")) != 1 {
				t.Errorf("%v, %v", a, a.header)
			}
		})
	}
	if a := p.get("/", "Cookie", "x=1; "+cookie+"; y=2"); len(a.header.Values("Set-Cookie")) != 0 {
		t.Errorf("among others, ours counts: %v", a.header)
	}
}

// TestCookiesOnSeveralLines has a session's cookie on one of two lines, as some
// proxies pass them on: at every attempt it is the same session.
func TestCookiesOnSeveralLines(t *testing.T) {
	b := backends(t, "a", "b")
	p := run(t, sticky(b, "strict", calm))
	first := p.get("/")
	cookie := onlyCookie(t, first)
	ask := func(lines ...string) (status int, from string) {
		req, err := http.NewRequest(http.MethodGet, p.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["Cookie"] = lines
		res, err := p.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode, res.Header.Get(nameHeader)
	}
	for range 5 {
		if _, from := ask("x=1", cookie); from != first.from() {
			t.Fatalf("with the cookie of %s: %s", first.from(), from)
		}
	}
	b[strings.Index("ab", first.from())].stop()
	for _, lines := range [][]string{{cookie}, {"x=1", cookie}, {cookie, "x=1"}} {
		if status, from := ask(lines...); status != http.StatusBadGateway {
			t.Errorf("%q, strict and dead: %d from %q", lines, status, from)
		}
	}
}

// TestTheCookieIsSecureAtEveryAttempt has a proxy in front that says that clients
// use TLS, and the backend told otherwise.
func TestTheCookieIsSecureAtEveryAttempt(t *testing.T) {
	b := backends(t, "a", "b", "c")
	p := run(t, policy(addrs(b...), "sticky", "secret a-secret-of-some-length\n"+calm,
		"header_up X-Forwarded-Proto http"), trusting)
	expect := func(when string) {
		t.Helper()
		for range 20 {
			set := p.get("/", "X-Forwarded-Proto", "https").header.Values("Set-Cookie")
			if len(set) != 1 || !strings.Contains(set[0], "; Secure") {
				t.Fatalf("%s: %q", when, set)
			}
		}
	}
	expect("first attempts")
	b[0].stop()
	b[1].stop()
	expect("a and b are dead")
}
