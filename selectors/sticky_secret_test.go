package selectors

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

const older, oldest = "the one before, and long enough", "the one before that, likewise"

// signing provisions a handler with these secrets.
func signing(t *testing.T, options object, secrets ...string) *reverseproxy.Handler {
	t.Helper()
	return pooltest.NewScripted(t, pooltest.With(object{"policy": "sticky", "secret": secrets}, options), 4)
}

// What an old secret has signed counts, and is signed anew.
func TestSecretsRotate(t *testing.T) {
	for name, options := range map[string]object{"by cookie": nil, "by header": {"header": field}, "by cookie, strict": {"strict": true}} {
		alone(t, name, func(t *testing.T) {
			b := settled(t, signing(t, options, oldest), pooltest.Dial(1))
			before := b.clone()
			h := signing(t, options, secret, older, oldest)
			got := b.visit(t, h)
			if got.by != pooltest.Dial(1) || len(got.set)+len(got.header[field]) != 1 {
				t.Fatalf("%+v", got)
			}
			expectStays(t, "signed anew", h, b, pooltest.Dial(1))
			expectStays(t, "signed anew, with the new secret alone", signing(t, options, secret), b, pooltest.Dial(1))
			expectMoves(t, "when the old one has gone", signing(t, options, secret, older), before, "any")
		})
	}
}

// Where the upstream is not to be had, the signature does not matter.
func TestOldSecretAndUpstreamDown(t *testing.T) {
	alone(t, "", func(t *testing.T) {
		b := settled(t, signing(t, nil, oldest), pooltest.Dial(1))
		strict := signing(t, pooltest.With(pooltest.Checked, object{"strict": true}), secret, oldest)
		h := signing(t, pooltest.Checked, secret, oldest)
		pooltest.SetDown(pooltest.Dial(1))
		if got := b.visit(t, strict); !got.refused() {
			t.Errorf("strict: %+v", got)
		}
		expectMoves(t, "not strict", h, b, pooltest.Dial(1))
	})
}

func TestSecretsOfPlaceholders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("  "+secret+"\r\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LB_SECRET", secret)
	t.Setenv("LB_HALF", secret[:10])
	plain := signing(t, nil, secret)
	b := settled(t, plain, pooltest.Dial(1))
	for _, text := range []string{"{env.LB_SECRET}", "{file." + file + "}", "{env.LB_HALF}" + secret[10:]} {
		expectStays(t, text, signing(t, nil, text), b, pooltest.Dial(1))
	}
}

// Without a secret there is one for the process: sessions outlive reloads.
func TestWithoutSecret(t *testing.T) {
	alone(t, "", func(t *testing.T) {
		open := func() *reverseproxy.Handler { return pooltest.NewScripted(t, object{"policy": "sticky"}, 4) }
		b := settled(t, open(), pooltest.Dial(1))
		expectStays(t, "reloaded", open(), b, pooltest.Dial(1))
		if given := settled(t, signing(t, nil, secret), pooltest.Dial(1)); given.cookies["lb"] == b.cookies["lb"] {
			t.Error("it is the one of the tests")
		}
	})
}

// Sessions outlive all but the address and the secret.
func TestTokensDependOnAddressAndSecretAlone(t *testing.T) {
	b := settled(t, pooltest.NewScripted(t, sticky(), 4), pooltest.Dial(1))
	for _, n := range []int{2, 3, 9} {
		expectStays(t, fmt.Sprint("among ", n), pooltest.NewScripted(t, sticky(object{"path": "/", "strict": n == 2}), n), b, pooltest.Dial(1))
	}
}

func TestBadSecrets(t *testing.T) {
	blank := filepath.Join(t.TempDir(), "blank")
	if err := os.WriteFile(blank, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LB_SECRET", secret)
	t.Setenv("LB_EMPTY", "")
	for name, secrets := range map[string][]string{
		"empty":                 {""},
		"blank":                 {secret, " \t"},
		"twice":                 {secret, older, secret},
		"twice, in another way": {secret, "{env.LB_SECRET}"},
		"twice but for spaces":  {secret, " " + secret},
		"variable not set":      {secret, "{env.LB_NONE}"},
		"variable empty":        {secret, "{env.LB_EMPTY}"},
		"no such file":          {secret, "{file./nowhere/secret}"},
		"nothing in the file":   {secret, "{file." + blank + "}"},
		"no such placeholder":   {secret, "{nothing.of_the_kind}"},
		"of a request":          {secret, "{http.request.header.X-Secret}"},
		"beside a placeholder":  {secret, older + "{env.LB_NONE}"},
	} {
		_, err := pooltest.TryHandler(t, object{
			"load_balancing": object{"selection_policy": object{"policy": "sticky", "secret": secrets}},
			"upstreams":      pooltest.Dials(2),
		})
		if err == nil || !strings.Contains(err.Error(), "secret: ") || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), older) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
