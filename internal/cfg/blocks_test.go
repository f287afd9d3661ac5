package cfg

import (
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"weight", "weight", 0}, {"wieght", "weight", 2},
		{"weigth", "weight", 2}, {"weights", "weight", 1}, {"eight", "weight", 1}, {"kitten", "sitting", 3},
	} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("%q to %q: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestUnknownSaysWhatWasMeant(t *testing.T) {
	Options("test outer", "", "weight", "retries", "ca", "fails")
	Options("test inner", "test outer", "choices", "decay")
	Options("test other", "", "interval")
	defer func() {
		for _, name := range []string{"test outer", "test inner", "test other"} {
			delete(blocks, name)
		}
	}()
	for option, want := range map[string]string{
		"weigth":   "; did you mean 'weight'?",
		"choice":   "; did you mean 'choices'?",
		"interval": ": it belongs in the block of test other",
		"xy":       "", // all of it would have to change
		"cb":       "; did you mean 'ca'?",
		"fall":     "; did you mean 'fails'?",
		"wxyzht":   "",
		"":         "",
	} {
		d := caddyfile.NewDispenser([]caddyfile.Token{{File: "Testfile", Line: 1, Text: option}})
		d.Next()
		want := "unknown option '" + option + "' for test inner" + want + ", at Testfile:1"
		if err := Unknown(d, "test inner"); err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestThere(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"}
	for n, want := range map[int]string{
		0: "there are none", 1: "there is only a", 2: "there are a, b",
		10: "there are a, b, c, d, e, f, g, h, i, j", 12: "there are a, b, c, d, e, f, g, h, i, j and 2 more",
	} {
		if got := There(names[:n]); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
