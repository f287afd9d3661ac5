package healthcheck

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func TestOnResponseCaddyfile(t *testing.T) {
	for name, test := range map[string]struct{ text, json string }{
		"bare":        {"on_response", `{}`},
		"empty block": {"on_response {\n}", `{}`},
		"degraded":    {"on_response {\n degraded X-Slow\n}", `{"degraded":"X-Slow"}`},
		"fail":        {"on_response {\n fail x-down\n}", `{"fail":"x-down"}`},
		"both":        {"on_response {\n fail x-down\n degraded x-slow\n}", `{"degraded":"x-slow","fail":"x-down"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := unmarshaled(t, new(OnResponse), test.text); got != test.json {
				t.Errorf("got  %s\nwant %s", got, test.json)
			}
			// As an option of a check, among others.
			var c Check
			d := caddyfile.NewTestDispenser("health_check tcp {\n send a\n" + test.text + "\n fails 7\n}")
			d.Next()
			if err := c.UnmarshalCaddyfile(d); err != nil {
				t.Fatal(err)
			}
			if got, _ := json.Marshal(c.OnResponse); string(got) != test.json || c.Fails != 7 {
				t.Errorf("got  %s\nwant %s", got, test.json)
			}
		})
	}
}

func TestOnResponseCaddyfileErrors(t *testing.T) {
	for name, test := range map[string]struct{ text, message, line string }{
		"argument":        {"on_response x-down", "on_response: unexpected argument 'x-down'", "1"},
		"unknown option":  {"on_response {\n down x\n}", "unknown option 'down' for on_response", "2"},
		"twice":           {"on_response {\n fail x\n fail y\n}", "duplicate option 'fail'", "3"},
		"no field":        {"on_response {\n fail\n}", "fail: missing argument", "2"},
		"empty field":     {"on_response {\n fail \"\"\n}", "fail: empty", "2"},
		"two fields":      {"on_response {\n degraded a b\n}", "degraded: unexpected argument 'b'", "2"},
		"not a field":     {"on_response {\n\n degraded x:\n}", "on_response: degraded: 'x:' is not a field name", "3"},
		"not quite ASCII": {"on_response {\n fail x-é\n}", "on_response: fail: 'x-é' is not a field name", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			expectError(t, new(OnResponse), test.text, test.message, test.line)
		})
	}
}

func TestOnResponseFields(t *testing.T) {
	for name, test := range map[string]struct {
		config         OnResponse
		degraded, fail string // canonical
	}{
		"bare":     {OnResponse{}, "X-Envoy-Degraded", "X-Envoy-Immediate-Health-Check-Fail"},
		"degraded": {OnResponse{Degraded: "x-slow"}, "X-Slow", ""},
		"fail":     {OnResponse{Fail: "X-DOWN"}, "", "X-Down"},
	} {
		t.Run(name, func(t *testing.T) {
			o := test.config
			if err := o.validate(); err != nil {
				t.Fatal(err)
			}
			o.setDefaults()
			for _, field := range []string{"X-Envoy-Degraded", "X-Envoy-Immediate-Health-Check-Fail", "X-Slow", "X-Down", ""} {
				degraded, fail := o.in(http.Header{field: {""}})
				if degraded != (field != "" && field == test.degraded) || fail != (field != "" && field == test.fail) {
					t.Errorf("%q: %v, %v", field, degraded, fail)
				}
			}
			if degraded, fail := o.in(nil); degraded || fail {
				t.Error("there was no header")
			}
		})
	}
	c := Check{OnResponse: &OnResponse{Fail: "x y"}}
	expectReason(t, c.validate(), "on_response: fail: 'x y' is not a field name")
}
