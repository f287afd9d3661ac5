package healthcheck

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// unmarshaled parses the Caddyfile text and returns the module's JSON.
func unmarshaled(t *testing.T, module caddyfile.Unmarshaler, text string) string {
	t.Helper()
	if err := module.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(module)
	if err != nil {
		t.Fatal(err)
	}
	return string(config)
}

// expectError fails the test unless the text is refused by an error that has
// the message and names the line.
func expectError(t *testing.T, module caddyfile.Unmarshaler, text, message, line string) {
	t.Helper()
	err := module.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
	if err == nil {
		t.Fatal("no error")
	}
	if !strings.Contains(err.Error(), message) || !strings.HasSuffix(err.Error(), ", at Testfile:"+line) {
		t.Errorf("got  %v\nwant %s … at Testfile:%s", err, message, line)
	}
}

func TestHTTPCaddyfile(t *testing.T) {
	for name, test := range map[string]struct{ text, json string }{
		"name only":   {"http", `{}`},
		"uri":         {"http /up?deep=1", `{"uri":"/up?deep=1"}`},
		"empty block": {"http /up {\n}", `{"uri":"/up"}`},
		"every option": {`http /up {
			method POST
			header x-a 1
			header X-B "two words"
			body {"a":1}
			scheme https
			follow_redirects
			expect_status 200 3xx 401-403
			expect_header x-state ^ok$
			expect_header Etag .
			expect_body "pong|ping"
			expect "json.ok == true && duration < duration('1s')"
			max_body 64KiB
			transport http {
				versions h2c 2
			}
		}`, `{"uri":"/up","method":"POST","header":{"X-A":"1","X-B":"two words"},"body":"{\"a\":1}",` +
			`"scheme":"https","follow_redirects":true,"expect_status":["200","3xx","401-403"],` +
			`"expect_header":{"Etag":".","X-State":"^ok$"},"expect_body":"pong|ping",` +
			`"expect":"json.ok == true \u0026\u0026 duration \u003c duration('1s')","max_body":65536,` +
			`"transport":{"protocol":"http","versions":["h2c","2"]}}`},
		"bare expression":           {"http {\n expect json.state == \"ok\" && status != 204\n}", `{"expect":"json.state == \"ok\" \u0026\u0026 status != 204"}`},
		"expression in backticks":   {"http {\n expect `headers['X-A'] == \"1\"`\n}", `{"expect":"headers['X-A'] == \"1\""}`},
		"transport without a block": {"http {\n transport fastcgi\n body x\n}", `{"body":"x","transport":{"protocol":"fastcgi"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := unmarshaled(t, new(HTTP), test.text); got != test.json {
				t.Errorf("got  %s\nwant %s", got, test.json)
			}
		})
	}
}

func TestHTTPCaddyfileErrors(t *testing.T) {
	for name, test := range map[string]struct{ text, message, line string }{
		"relative uri":               {"http up", "uri: 'up' is not a path", "1"},
		"absolute uri":               {"http http://h/up", "uri: 'http://h/up' is not a path", "1"},
		"uri with a space":           {`http "/a b"`, "uri: '/a b' is not a path", "1"},
		"uri with a fragment":        {"http /a#b", "uri: '/a#b' is not a path", "1"},
		"uri with a bad escape":      {"http /%zz", "uri: '/%zz': invalid URL escape", "1"},
		"empty uri":                  {`http ""`, "uri: empty", "1"},
		"two uris":                   {"http /a /b", "http: unexpected argument '/b'", "1"},
		"unknown option":             {"http {\n\n uri /a\n}", "unknown option 'uri' for http", "3"},
		"duplicate option":           {"http {\n method GET\n method PUT\n}", "duplicate option 'method'", "3"},
		"duplicate flag":             {"http {\n follow_redirects\n follow_redirects\n}", "duplicate option 'follow_redirects'", "3"},
		"duplicate field":            {"http {\n header X-A 1\n header x-a 2\n}", "header: duplicate 'x-a'", "3"},
		"duplicate expected field":   {"http {\n expect_header X-A 1\n expect_header x-a 2\n}", "expect_header: duplicate 'x-a'", "3"},
		"no method":                  {"http {\n method\n}", "method: missing argument", "2"},
		"bad method":                 {"http {\n method G@T\n}", "method: 'G@T' is not a method", "2"},
		"method of proxies":          {"http {\n method CONNECT\n}", "method: 'CONNECT' is not a method", "2"},
		"two methods":                {"http {\n method GET PUT\n}", "method: unexpected argument 'PUT'", "2"},
		"method with a block":        {"http {\n method GET {\n  x\n }\n}", "method takes no block", "2"},
		"field without value":        {"http {\n header X-A\n}", "header: missing argument", "2"},
		"field with two values":      {"http {\n header X-A 1 2\n}", "header: unexpected argument '2'", "2"},
		"bad field name":             {"http {\n header \"X A\" 1\n}", "header: 'X A' is not a field name", "2"},
		"bad field value":            {"http {\n header X-A \"a\nb\"\n}", `header: value "a\nb" of X-A has control characters`, "2"},
		"field of the body":          {"http {\n header content-length 3\n}", "header: Content-Length follows from the body", "2"},
		"bad scheme":                 {"http {\n scheme ftp\n}", "scheme: 'ftp' is neither http nor https", "2"},
		"flag with an argument":      {"http {\n follow_redirects yes\n}", "follow_redirects: unexpected argument 'yes'", "2"},
		"no status":                  {"http {\n expect_status\n}", "expect_status: missing argument", "2"},
		"bad status":                 {"http {\n expect_status 200 ok\n}", "expect_status: 'ok' is not a status code", "2"},
		"status out of range":        {"http {\n expect_status 99\n}", "expect_status: '99' is not a status code", "2"},
		"bad class":                  {"http {\n expect_status 0xx\n}", "expect_status: '0xx' is not a status code", "2"},
		"range backwards":            {"http {\n expect_status 399-200\n}", "expect_status: range '399-200' ends before it begins", "2"},
		"bad expected field":         {"http {\n expect_header X: a\n}", "expect_header: 'X:' is not a field name", "2"},
		"bad header regexp":          {"http {\n expect_header X-A (\n}", "expect_header: X-A: error parsing regexp: missing closing ): `(`", "2"},
		"bad body regexp":            {"http {\n expect_body [\n}", "expect_body: error parsing regexp: missing closing ]: `[`", "2"},
		"empty body regexp":          {"http {\n expect_body \"\"\n}", "expect_body: empty", "2"},
		"no expression":              {"http {\n expect\n}", "expect: missing argument", "2"},
		"bad expression":             {"http {\n expect \"status ==\"\n}", "expect: 'status ==': line 1, column 10: Syntax error", "2"},
		"unknown variable":           {"http {\n expect \"code == 200\"\n}", "expect: 'code == 200': line 1, column 1: undeclared reference to 'code'", "2"},
		"types that do not compare":  {"http {\n expect status == \"200\"\n}", "found no matching overload for '_==_'", "2"},
		"expression of another type": {"http {\n expect json.ok\n}", "expect: 'json.ok' is of type dyn, not bool", "2"},
		"expression with a block":    {"http {\n expect status == 200 {\n  x\n }\n}", "expect takes no block", "2"},
		"bad size":                   {"http {\n max_body big\n}", "max_body: 'big' is not a size", "2"},
		"no size":                    {"http {\n max_body 0\n}", "max_body: 0 is out of range", "2"},
		"size beyond all measure":    {"http {\n max_body 8EiB\n}", "max_body: 8EiB is out of range", "2"},
		"no transport":               {"http {\n transport\n}", "transport: missing argument", "2"},
		"unknown transport":          {"http {\n transport smoke\n}", "module not registered: http.reverse_proxy.transport.smoke", "2"},
		"transport's own options":    {"http {\n transport http {\n  smoke\n }\n}", "unrecognized subdirective smoke", "3"},
	} {
		t.Run(name, func(t *testing.T) {
			expectError(t, new(HTTP), test.text, test.message, test.line)
		})
	}
}

// A JSON configuration is checked as well, when it is loaded.
func TestHTTPProvisionErrors(t *testing.T) {
	for name, test := range map[string]struct {
		module  HTTP
		message string
	}{
		"uri":              {HTTP{URI: "up"}, "uri: 'up' is not a path"},
		"method":           {HTTP{Method: "G T"}, "method: 'G T' is not a method"},
		"scheme":           {HTTP{Scheme: "h2"}, "scheme: 'h2' is neither"},
		"header":           {HTTP{Header: map[string]string{"": "x"}}, "header: '' is not a field name"},
		"duplicate header": {HTTP{Header: map[string]string{"X-A": "1", "x-a": "2"}}, "header: duplicate 'X-A'"},
		"expected header":  {HTTP{ExpectHeader: map[string]string{"A": "*"}}, "expect_header: A: error parsing regexp"},
		"status":           {HTTP{ExpectStatus: []string{"20x"}}, "expect_status: '20x' is not"},
		"body":             {HTTP{ExpectBody: "("}, "expect_body: error parsing regexp"},
		"expression":       {HTTP{Expect: "1"}, "expect: '1' is of type int, not bool"},
		"max_body":         {HTTP{MaxBody: -1}, "max_body: -1 is out of range"},
		"transport":        {HTTP{TransportRaw: json.RawMessage(`{"protocol":"smoke"}`)}, "transport: "},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.module.Provision(caddyContext(t))
			if err == nil || !strings.HasPrefix(err.Error(), test.message) {
				t.Errorf("got %v, want %s", err, test.message)
			}
		})
	}
}
