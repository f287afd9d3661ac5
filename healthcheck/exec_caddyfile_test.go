package healthcheck

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExecCaddyfile(t *testing.T) {
	for name, test := range map[string]struct{ text, json string }{
		"command only": {"exec true", `{"command":"true"}`},
		"empty block":  {"exec true {\n}", `{"command":"true"}`},
		"arguments":    {`exec /bin/check -v "two words" ""`, `{"command":"/bin/check","args":["-v","two words",""]}`},
		"every option": {`exec ./check {
			env B 2
			env A "one two"
			env a ""
			dir /opt/checks
		}`, `{"command":"./check","env":{"A":"one two","B":"2","a":""},"dir":"/opt/checks"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := unmarshaled(t, new(Exec), test.text); got != test.json {
				t.Errorf("got  %s\nwant %s", got, test.json)
			}
		})
	}
}

func TestExecCaddyfileErrors(t *testing.T) {
	for name, test := range map[string]struct{ text, message, line string }{
		"no command":       {"exec", "exec: missing command", "1"},
		"empty command":    {`exec ""`, "command: empty", "1"},
		"unknown option":   {"exec true {\n shell sh\n}", "unknown option 'shell' for exec", "2"},
		"dir twice":        {"exec true {\n dir /a\n dir /b\n}", "duplicate option 'dir'", "3"},
		"no dir":           {"exec true {\n dir\n}", "dir: missing argument", "2"},
		"empty dir":        {"exec true {\n dir \"\"\n}", "dir: empty", "2"},
		"two dirs":         {"exec true {\n dir /a /b\n}", "dir: unexpected argument '/b'", "2"},
		"variable twice":   {"exec true {\n env A 1\n env B 2\n env A 3\n}", "env: duplicate 'A'", "4"},
		"without value":    {"exec true {\n env A\n}", "env: missing argument", "2"},
		"two values":       {"exec true {\n env A 1 2\n}", "env: unexpected argument '2'", "2"},
		"value with name":  {"exec true {\n env A=1 2\n}", "env: 'A=1' is not the name of a variable", "2"},
		"without name":     {"exec true {\n env \"\" 1\n}", "env: '' is not the name of a variable", "2"},
		"option and block": {"exec true {\n dir /a {\n }\n}", "dir takes no block", "2"},
	} {
		t.Run(name, func(t *testing.T) {
			expectError(t, new(Exec), test.text, test.message, test.line)
		})
	}
}

const allowed = `{"load_balancer":{"allow_exec":true}}`

func TestExecProvisionErrors(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		apps    string
		module  Exec
		message string
	}{
		"not allowed":    {`{}`, Exec{Command: "true"}, "running commands is not allowed: set allow_exec in the global option load_balancer"},
		"still not":      {`{"load_balancer":{}}`, Exec{Command: "true"}, "running commands is not allowed"},
		"no command":     {allowed, Exec{}, "command: empty"},
		"not found":      {allowed, Exec{Command: "no-such-check"}, "command: 'no-such-check': executable file not found in"},
		"no such path":   {allowed, Exec{Command: "/no/such/check"}, "command: '/no/such/check': stat /no/such/check: no such file or directory"},
		"not executable": {allowed, Exec{Command: plain}, "command: '" + plain + "': permission denied"},
		"a directory":    {allowed, Exec{Command: filepath.Dir(plain)}, "command: '" + filepath.Dir(plain) + "': "},
		"no directory":   {allowed, Exec{Command: "true", Dir: "/no/such"}, "dir: stat /no/such: no such file or directory"},
		"dir is a file":  {allowed, Exec{Command: "true", Dir: plain}, "dir: " + plain + " is not a directory"},
		"not in dir":     {allowed, Exec{Command: "./true", Dir: filepath.Dir(plain)}, "command: './true': stat " + filepath.Dir(plain)},
		"variable":       {allowed, Exec{Command: "true", Env: map[string]string{"A=": ""}}, "env: 'A=' is not the name of a variable"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.module.Provision(configContext(t, test.apps))
			if err == nil || !strings.HasPrefix(err.Error(), test.message) {
				t.Errorf("got  %v\nwant %s", err, test.message)
			}
		})
	}
}
