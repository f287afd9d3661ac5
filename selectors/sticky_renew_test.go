package selectors

import (
	"strings"
	"testing"
	"time"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// With renew a session lasts for as long as it is used, and the client is told
// when half of max_age is over.
func TestCookieIsRenewedAtHalfItsLife(t *testing.T) {
	alone(t, "", func(t *testing.T) {
		renewing := sticky(object{"max_age": "16m", "renew": true})
		h := pooltest.NewScripted(t, renewing, 4)
		b := settled(t, h, pooltest.Dial(1))
		for range 5 {
			first := b.cookies["lb"]
			expectStays(t, "at once", h, b, pooltest.Dial(1))
			time.Sleep(8 * time.Minute)
			expectStays(t, "at half its life", h, b, pooltest.Dial(1))
			time.Sleep(time.Minute)
			got := b.visit(t, h)
			if got.by != pooltest.Dial(1) || len(got.set) != 1 || got.set[0].MaxAge != 16*60 || b.cookies["lb"] == first {
				t.Fatalf("after half its life: %+v", got)
			}
		}
		time.Sleep(time.Hour) // of a client that keeps it for longer
		if got := b.visit(t, h); got.by != pooltest.Dial(1) || len(got.set) != 1 {
			t.Errorf("long after: %+v", got)
		}
	})
}

// Cookies that were set without renew count, and so do those set with it elsewhere.
func TestRenewComesAndGoes(t *testing.T) {
	alone(t, "", func(t *testing.T) {
		plain := pooltest.NewScripted(t, sticky(object{"max_age": "1h"}), 4)
		renewing := pooltest.NewScripted(t, sticky(object{"max_age": "1h", "renew": true}), 4)
		others := pooltest.NewScripted(t, sticky(object{"max_age": "2h", "renew": true}), 4)
		b := settled(t, plain, pooltest.Dial(1))
		for name, h := range map[string]func() served{
			"from no renewal": func() served { return b.visit(t, renewing) },
			"of another life": func() served { return b.visit(t, others) },
		} {
			if got := h(); got.by != pooltest.Dial(1) || len(got.set) != 1 {
				t.Errorf("%s: %+v", name, got)
			}
		}
		b.visit(t, renewing)
		expectStays(t, "renewed", renewing, b, pooltest.Dial(1))
		expectStays(t, "without renewal", plain, b, pooltest.Dial(1))
	})
}

// Nobody can make a cookie that is not renewed, or a session of a stamp.
func TestForgedStamps(t *testing.T) {
	alone(t, "", func(t *testing.T) {
		h := pooltest.NewScripted(t, sticky(object{"max_age": "1h", "renew": true}), 4)
		b := settled(t, h, pooltest.Dial(1))
		token, stamp, found := strings.Cut(b.cookies["lb"], ".")
		if !found || len(token) != tokenLength || len(stamp) != stampLength {
			t.Fatalf("cookie %q", b.cookies["lb"])
		}
		flipped := []byte(stamp)
		flipped[3] ^= 1
		for _, value := range []string{token, token + "." + string(flipped), token + "." + strings.Repeat("A", stampLength)} {
			c := newBrowser("lb", value)
			if got := c.visit(t, h); got.by != pooltest.Dial(1) || len(got.set) != 1 {
				t.Errorf("%q: %+v, want the session, and another cookie", value, got)
			}
		}
		for _, value := range []string{
			token + ".", token + "." + stamp[1:], token + "." + stamp + "A", token + "-" + stamp, token + stamp,
			"." + stamp, strings.Repeat("A", tokenLength) + "." + stamp,
		} {
			strict := newBrowser("lb", value)
			if got := strict.visit(t, h); len(got.set) != 1 {
				t.Errorf("%q counts as a session: %+v", value, got)
			}
		}
	})
}

// A request whose cookie need not be renewed allocates nothing for that.
func TestFreshStampAllocatesNothing(t *testing.T) {
	s := newStamps(signer{[]byte(secret)}, time.Hour)
	now := time.Now()
	stamp := s.at(now).now
	if n := testing.AllocsPerRun(100, func() {
		if !s.fresh(stamp, now) {
			t.Error("not fresh")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
