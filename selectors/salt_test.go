package selectors

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// differing counts the users whose homes differ.
func differing(a, b []string) (n int) {
	for user, home := range a {
		if b[user] != home {
			n++
		}
	}
	return n
}

// A key's place depends on the salt: who does not know it cannot tell.
func TestSaltDecidesWhereKeysGo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "salt")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LB_SALT", secret)
	forKeys(t, func(t *testing.T, config object) {
		const users = 2000
		salted := func(text string) []string {
			return homes(pooltest.NewHandler(t, pooltest.With(config, object{"salt": text}), 4), users)
		}
		here := salted(secret)
		for name, text := range map[string]string{"of the environment": "{env.LB_SALT}", "of a file": "{file." + file + "}"} {
			if n := differing(here, salted(text)); n > 0 {
				t.Errorf("%s: %d of %d keys are elsewhere", name, n, users)
			}
		}
		// Of four upstreams, three quarters of the keys move.
		for name, there := range map[string][]string{
			"without a salt":     homes(pooltest.NewHandler(t, config, 4), users),
			"under another salt": salted(older),
		} {
			if n := differing(here, there); n < users*2/3 || n > users*5/6 {
				t.Errorf("%s %d of %d keys are elsewhere", name, n, users)
			}
		}
		for home, n := range countByHome(here) {
			if n < users/8 || n > users/2 {
				t.Errorf("%s has %d of %d keys", home, n, users)
			}
		}
	})
}

// A salt costs no allocation for keys of the usual length.
func TestSaltedHashAllocatesNothing(t *testing.T) {
	s := newSalt(secret)
	if n := testing.AllocsPerRun(100, func() { s.hash("/a/path?with=a+query") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestBadSalts(t *testing.T) {
	t.Setenv("LB_EMPTY", "")
	for name, text := range map[string]string{
		"blank": " \t", "variable not set": "{env.LB_NONE}", "variable empty": "{env.LB_EMPTY}",
		"no such file": "{file./nowhere/salt}", "of a request": "{http.request.header.X-Salt}",
	} {
		expectRejected(t, name, object{"policy": "maglev", "key": "{http.request.uri}", "salt": text}, "salt: ")
	}
}
