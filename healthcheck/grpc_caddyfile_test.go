package healthcheck

import (
	"strings"
	"testing"
)

func TestGRPCCaddyfile(t *testing.T) {
	for name, test := range map[string]struct{ text, json string }{
		"name only":   {"grpc", `{}`},
		"service":     {"grpc shop.Cart", `{"service":"shop.Cart"}`},
		"empty block": {"grpc shop.Cart {\n}", `{"service":"shop.Cart"}`},
		"options": {`grpc {
			authority cart.example:443
			metadata X-Token "a b"
			metadata trace-bin é
			plaintext
		}`, `{"authority":"cart.example:443","metadata":{"trace-bin":"é","x-token":"a b"},"plaintext":true}`},
		"tls": {"grpc {\n tls {\n ca a.pem\n }\n authority a\n}", `{"authority":"a","tls":{"ca":["a.pem"]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := unmarshaled(t, new(GRPC), test.text); got != test.json {
				t.Errorf("got  %s\nwant %s", got, test.json)
			}
		})
	}
}

func TestGRPCCaddyfileErrors(t *testing.T) {
	for name, test := range map[string]struct{ text, message, line string }{
		"two services":       {"grpc a b", "grpc: unexpected argument 'b'", "1"},
		"unknown option":     {"grpc {\n service a\n}", "unknown option 'service' for grpc", "2"},
		"duplicate option":   {"grpc {\n authority a\n authority b\n}", "duplicate option 'authority'", "3"},
		"no authority":       {"grpc {\n authority\n}", "authority: missing argument", "2"},
		"empty authority":    {"grpc {\n authority \"\"\n}", "authority: empty", "2"},
		"bad authority":      {"grpc {\n authority http://a\n}", "authority: 'http://a' is not a host", "2"},
		"flag with argument": {"grpc {\n plaintext on\n}", "plaintext: unexpected argument 'on'", "2"},
		"plaintext and tls":  {"grpc {\n plaintext\n tls {\n }\n}", "plaintext and tls exclude each other", "4"},
		"tls and plaintext":  {"grpc {\n tls\n plaintext\n}", "plaintext and tls exclude each other", "3"},
		"key without value":  {"grpc {\n metadata a\n}", "metadata: missing argument", "2"},
		"two values":         {"grpc {\n metadata a b c\n}", "metadata: unexpected argument 'c'", "2"},
		"duplicate key":      {"grpc {\n metadata a-b 1\n metadata A-B 2\n}", "metadata: duplicate 'A-B'", "3"},
		"bad key":            {"grpc {\n metadata a:b 1\n}", "metadata: 'a:b' is not a key", "2"},
		"empty key":          {"grpc {\n metadata \"\" 1\n}", "metadata: '' is not a key", "2"},
		"gRPC's key":         {"grpc {\n metadata grpc-timeout 1S\n}", "metadata: key 'grpc-timeout' is reserved", "2"},
		"the client's key":   {"grpc {\n metadata User-Agent me\n}", "metadata: key 'user-agent' is reserved", "2"},
		"bad value":          {"grpc {\n metadata a é\n}", "metadata: value 'é' of 'a' is not printable ASCII", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			expectError(t, new(GRPC), test.text, test.message, test.line)
		})
	}
}

func TestGRPCProvisionErrors(t *testing.T) {
	for name, test := range map[string]struct {
		module  GRPC
		message string
	}{
		"authority":     {GRPC{Authority: "a b"}, "authority: 'a b' is not a host"},
		"metadata":      {GRPC{Metadata: map[string]string{"a b": ""}}, "metadata: 'a b' is not a key"},
		"duplicate key": {GRPC{Metadata: map[string]string{"A": "1", "a": "2"}}, "metadata: duplicate key 'a'"},
		"security":      {GRPC{Plaintext: true, TLS: new(TLS)}, "plaintext and tls exclude each other"},
		"tls":           {GRPC{TLS: &TLS{ClientAuth: new(ClientAuth)}}, "tls: client_auth: needs both cert and key"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.module.Provision(caddyContext(t))
			if err == nil || !strings.HasPrefix(err.Error(), test.message) {
				t.Errorf("got %v, want %s", err, test.message)
			}
		})
	}
}
