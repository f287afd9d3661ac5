package healthcheck

import (
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestGenerationIsThatOfTheConfiguration(t *testing.T) {
	app := func(ctx caddy.Context) *App {
		t.Helper()
		a, err := AppOf(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := configContext(t, `{}`)
	if one, other := app(first), app(first); one != other {
		t.Error("a configuration has two apps")
	}
	second := configContext(t, `{"load_balancer":{"dynamic_limit":7}}`)
	a, b := app(first), app(second)
	if a.Generation() == 0 || b.Generation() <= a.Generation() {
		t.Errorf("generations %d and %d", a.Generation(), b.Generation())
	}
	if a.AllowExec || b.AllowExec || b.DynamicLimit != 7 {
		t.Errorf("%+v, %+v", a, b)
	}
}

func TestAllowExecCaddyfile(t *testing.T) {
	if got := unmarshaled(t, new(App), "load_balancer {\n allow_exec\n}"); got != `{"allow_exec":true}` {
		t.Error(got)
	}
	expectError(t, new(App), "load_balancer {\n allow_exec yes\n}", "allow_exec: unexpected argument 'yes'", "2")
	expectError(t, new(App), "load_balancer {\n allow_exec\n allow_exec\n}", "duplicate option 'allow_exec'", "3")
}
