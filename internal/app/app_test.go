package app

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// configured returns the app of a new configuration with the given apps, and its
// context.
func configured(t *testing.T, apps string) (*App, caddy.Context) {
	t.Helper()
	config := new(caddy.Config)
	if err := json.Unmarshal([]byte(apps), &config.AppsRaw); err != nil {
		t.Fatal(err)
	}
	ctx, err := caddy.ProvisionContext(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(ctx)
	t.Cleanup(cancel)
	a, err := Of(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return a, ctx
}

func TestGenerationIsThatOfTheConfiguration(t *testing.T) {
	a, first := configured(t, `{}`)
	if other, err := Of(first); other != a || err != nil {
		t.Error("a configuration has two apps", err)
	}
	b, _ := configured(t, `{"load_balancer":{"dynamic_limit":7}}`)
	if a.Generation() == 0 || b.Generation() <= a.Generation() {
		t.Errorf("generations %d and %d", a.Generation(), b.Generation())
	}
	if a.AllowExec || b.AllowExec || b.DynamicLimit != 7 {
		t.Errorf("%+v, %+v", a, b)
	}
}

func TestCaddyfile(t *testing.T) {
	for text, want := range map[string]string{
		"load_balancer {\n allow_exec\n}":                                        `{"allow_exec":true}`,
		"load_balancer {\n dynamic_limit 7\n probe_concurrency 8\n}":             `{"dynamic_limit":7,"probe_concurrency":8}`,
		"load_balancer {\n allow_exec yes\n}":                                    "allow_exec: unexpected argument 'yes', at Testfile:2",
		"load_balancer {\n allow_exec\n allow_exec\n}":                           "duplicate option 'allow_exec', at Testfile:3",
		"load_balancer {\n exec_concurrency 0\n}":                                "exec_concurrency: 0 is not between 1 and 1073741824, at Testfile:2",
		"load_balancer {\n dynamic_expiry 0s\n}":                                 "dynamic_expiry: 0s is not above zero, at Testfile:2",
		"load_balancer {\n dynamic_expiry 1m\n exec_concurrency 1073741825\n}\n": "exec_concurrency: 1073741825 is not between 1 and 1073741824, at Testfile:3",
	} {
		a := new(App)
		got := ""
		if err := a.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err != nil {
			got = err.Error()
		} else if config, err := json.Marshal(a); err == nil {
			got = string(config)
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s\ngives %s\nwant  %s", text, got, want)
		}
	}
}

func TestJSONOutOfRange(t *testing.T) {
	for config, want := range map[string]string{
		`{"dynamic_expiry":"-1s"}`:        "dynamic_expiry: -1s is not above zero and below ten years",
		`{"dynamic_limit":-1}`:            "dynamic_limit: -1 is not above zero",
		`{"probe_concurrency":-2}`:        "probe_concurrency: -2 is not above zero",
		`{"exec_concurrency":1073741825}`: "exec_concurrency: 1073741825 is not between 1 and 1073741824",
		`{"exec_concurrency":65536}`:      "",
	} {
		a := new(App)
		if err := json.Unmarshal([]byte(config), a); err != nil {
			t.Fatal(err)
		}
		_, ctx := configured(t, `{}`)
		if err := a.Provision(ctx); err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := a.Validate(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", config, got, want)
		}
	}
}

func TestWhatWaitsForStartAndStopIsCalledOnceInOrder(t *testing.T) {
	var a App
	var called []string
	note := func(what string) func() { return func() { called = append(called, what) } }
	a.AtStart(note("first"))
	a.AtStart(note("second"))
	a.AtStop(note("stop"))
	expect := func(want ...string) {
		t.Helper()
		if !slices.Equal(called, want) {
			t.Errorf("called: %q, want %q", called, want)
		}
	}
	expect()
	a.Start()
	a.AtStart(note("late"))
	expect("first", "second", "late")
	a.Stop()
	a.Stop()
	expect("first", "second", "late", "stop")
}

func TestAllThatClosesSharesThePatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a App
		want := time.Now().Add(ClosePatience)
		for range 3 {
			if by := a.CloseBy(); !by.Equal(want) {
				t.Errorf("closing waits until %v, want %v", by, want)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestSharedValuesAreOnePerTypeAndConfiguration(t *testing.T) {
	type one struct{ n int }
	type other struct{ n int }
	var a, b App
	first := Shared(&a, func() *one { return &one{1} })
	if again := Shared(&a, func() *one { return &one{2} }); again != first || again.n != 1 {
		t.Errorf("created twice: %+v", again)
	}
	if o := Shared(&a, func() *other { return &other{3} }); o.n != 3 {
		t.Errorf("the value of another type: %+v", o)
	}
	if o := Shared(&b, func() *one { return &one{4} }); o.n != 4 {
		t.Errorf("the value of another configuration: %+v", o)
	}
}
