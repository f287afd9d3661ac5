package healthcheck

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTLSCaddyfileErrors(t *testing.T) {
	for name, test := range map[string]struct{ options, message, line string }{
		"argument":            {"yes", "tls: unexpected argument 'yes'", "2"},
		"unknown option":      {"{\n  cert a\n }", "unknown option 'cert' for tls", "3"},
		"duplicate option":    {"{\n  ca a\n  ca b\n }", "duplicate option 'ca'", "4"},
		"no authority":        {"{\n  ca\n }", "ca: missing argument", "3"},
		"certificate, no key": {"{\n  client_auth a\n }", "client_auth: missing argument", "3"},
		"more than a pair":    {"{\n  client_auth a b c\n }", "client_auth: unexpected argument 'c'", "3"},
		"no name":             {"{\n  server_name\n }", "server_name: missing argument", "3"},
		"empty name":          {"{\n  server_name \"\"\n }", "server_name: empty", "3"},
		"flag with argument":  {"{\n  insecure_skip_verify off\n }", "insecure_skip_verify: unexpected argument 'off'", "3"},
		"block in the block":  {"{\n  ca a {\n   b\n  }\n }", "ca takes no block", "3"},
	} {
		t.Run(name, func(t *testing.T) {
			expectError(t, new(TCP), "tcp {\n tls "+test.options+"\n}", test.message, test.line)
			expectError(t, new(GRPC), "grpc {\n tls "+test.options+"\n}", test.message, test.line)
		})
	}
}

func TestTLSConfigErrors(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, "a")
	other, _ := ca.issue(t, "b")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate here"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		tls     TLS
		message string
	}{
		"no such authority":   {TLS{CA: []string{ca.file, "/nowhere/ca.pem"}}, "tls: ca: open /nowhere/ca.pem: no such file"},
		"no authority in it":  {TLS{CA: []string{empty}}, "tls: ca: no certificate in " + empty},
		"no such certificate": {TLS{ClientAuth: &ClientAuth{"/nowhere/c.pem", key}}, "tls: client_auth: /nowhere/c.pem and " + key + ": open /nowhere/c.pem: no such file"},
		"no such key":         {TLS{ClientAuth: &ClientAuth{cert, "/nowhere/c.key"}}, "tls: client_auth: " + cert + " and /nowhere/c.key: open /nowhere/c.key: no such file"},
		"another's key":       {TLS{ClientAuth: &ClientAuth{other, key}}, "tls: client_auth: " + other + " and " + key + ": tls: private key does not match public key"},
		"no certificate":      {TLS{ClientAuth: &ClientAuth{"", key}}, "tls: client_auth: needs both cert and key"},
		"no key":              {TLS{ClientAuth: &ClientAuth{cert, ""}}, "tls: client_auth: needs both cert and key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := test.tls.Config()
			if err == nil || !strings.HasPrefix(err.Error(), test.message) {
				t.Errorf("got  %v\nwant %s", err, test.message)
			}
		})
	}
}

func TestTLSConfig(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	config, err := (&TLS{CA: []string{a.file, b.file}}).Config()
	if err != nil {
		t.Fatal(err)
	}
	want := a.pool()
	want.AddCert(b.cert)
	if !config.RootCAs.Equal(want) {
		t.Error("the authorities are not those of both files")
	}
	config, err = new(TLS).Config()
	if err != nil {
		t.Fatal(err)
	}
	if config.RootCAs != nil || config.InsecureSkipVerify || config.Certificates != nil {
		t.Error("without options, the defaults do not hold")
	}
}
