package dialaddr

import (
	"errors"
	"testing"
)

func TestResolve(t *testing.T) {
	t.Setenv("UPSTREAM_HOST", "10.0.0.9")
	for text, want := range map[string]string{
		"10.0.0.1:80":            "tcp/10.0.0.1:80",
		"[2001:db8::1]:80":       "tcp/[2001:db8::1]:80",
		"unix//run/a.sock":       "unix//run/a.sock",
		"{env.UPSTREAM_HOST}:81": "tcp/10.0.0.9:81",
	} {
		dial, err := Resolve(text)
		if err != nil || dial.String() != want {
			t.Errorf("%s: %v, %v", text, dial, err)
		}
	}
}

func TestAddressesThatCannotBeResolved(t *testing.T) {
	for text, want := range map[string]error{
		"{http.request.host}:80":    ErrPlaceholder,
		"{env.NO_SUCH_VARIABLE}:80": ErrUnset,
	} {
		if _, err := Resolve(text); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
	if _, err := Resolve("10.0.0.1:80-81"); err == nil || err.Error() != "address 10.0.0.1:80-81 stands for 2 sockets" {
		t.Error(err)
	}
}
