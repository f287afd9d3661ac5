package cfg

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// helpers parse the option at the cursor, each its own way.
var helpers = map[string]func(*caddyfile.Dispenser) (any, error){
	"args":     func(d *caddyfile.Dispenser) (any, error) { return Args(d, 1, 2) },
	"list":     func(d *caddyfile.Dispenser) (any, error) { return Args(d, 2, -1) },
	"arg":      func(d *caddyfile.Dispenser) (any, error) { return Arg(d) },
	"flag":     func(d *caddyfile.Dispenser) (any, error) { return nil, Flag(d) },
	"int":      func(d *caddyfile.Dispenser) (any, error) { return Int(d, 1, 10) },
	"duration": func(d *caddyfile.Dispenser) (any, error) { return Duration(d) },
	"percent":  func(d *caddyfile.Dispenser) (any, error) { return Percent(d, 0, 100) },
	"float":    func(d *caddyfile.Dispenser) (any, error) { return Float(d, 0, 10) },
	"size":     func(d *caddyfile.Dispenser) (any, error) { return Size(d) },
	"unknown":  func(d *caddyfile.Dispenser) (any, error) { return nil, Unknown(d, "a policy") },
}

// parse parses a block of the line, which is the second one of the file and
// whose option names the helper.
func parse(line string) (any, error) {
	d := caddyfile.NewTestDispenser("block {\n\t" + line + "\n\tafter\n}")
	d.Next()
	d.NextBlock(0)
	value, err := helpers[d.Val()](d)
	if err == nil && (!d.NextBlock(0) || d.Val() != "after") {
		err = fmt.Errorf("the cursor is at '%s'", d.Val())
	}
	return value, err
}

func TestOptionValues(t *testing.T) {
	for line, want := range map[string]any{
		"args a":         []string{"a"},
		"args a b":       []string{"a", "b"},
		"list a b c d":   []string{"a", "b", "c", "d"},
		"arg a":          "a",
		`arg ""`:         "",
		"flag":           nil,
		"int 1":          1,
		"int 10":         10,
		"duration 1ns":   caddy.Duration(time.Nanosecond),
		"duration 1m30s": caddy.Duration(90 * time.Second),
		"duration 2d":    caddy.Duration(48 * time.Hour),
		"percent 0":      0.0,
		"percent 12.5":   12.5,
		"percent 12.5%":  12.5,
		"percent 100%":   100.0,
		"float 0":        0.0,
		"float 1.5":      1.5,
		"float 1e1":      10.0,
		"size 1":         int64(1),
		"size 512KiB":    int64(512 << 10),
		"size 1MB":       int64(1_000_000),
		"size 4EiB":      int64(1 << 62),
	} {
		t.Run(line, func(t *testing.T) {
			got, err := parse(line)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%v (%T), want %v", got, got, want)
			}
		})
	}
}

func TestOptionErrorsNameOptionAndLine(t *testing.T) {
	for line, want := range map[string]string{
		"args":               "args: missing argument",
		"args a b c":         "args: unexpected argument 'c'",
		"list a":             "list: missing argument",
		"arg":                "arg: missing argument",
		"arg a b":            "arg: unexpected argument 'b'",
		"flag yes":           "flag: unexpected argument 'yes'",
		"int":                "int: missing argument",
		"int 1 2":            "int: unexpected argument '2'",
		"int one":            "int: 'one' is not an integer",
		"int 1.0":            "int: '1.0' is not an integer",
		`int ""`:             "int: '' is not an integer",
		"int 0":              "int: 0 is not between 1 and 10",
		"int -1":             "int: -1 is not between 1 and 10",
		"int 11":             "int: 11 is not between 1 and 10",
		"duration":           "duration: missing argument",
		"duration 1s 2s":     "duration: unexpected argument '2s'",
		"duration 5":         `duration: '5' has no unit; write it with one, such as "5s"`,
		"duration soon":      `duration: 'soon' is not a duration, such as "5s"`,
		"duration 0s":        "duration: 0s is not above zero",
		"duration 0":         "duration: 0s is not above zero",
		"duration -5s":       "duration: -5s is not above zero",
		"percent":            "percent: missing argument",
		"percent half":       "percent: 'half' is not a percentage",
		"percent %":          "percent: '%' is not a percentage",
		"percent 5%%":        "percent: '5%%' is not a percentage",
		"percent NaN":        "percent: 'NaN' is not a percentage",
		"percent -1":         "percent: -1% is not between 0% and 100%",
		"percent 100.5%":     "percent: 100.5% is not between 0% and 100%",
		"percent Inf":        "percent: +Inf% is not between 0% and 100%",
		"float":              "float: missing argument",
		"float much":         "float: 'much' is not a number",
		"float NaN":          "float: 'NaN' is not a number",
		"float -0.1":         "float: -0.1 is not between 0 and 10",
		"float Inf":          "float: +Inf is not between 0 and 10",
		"size":               "size: missing argument",
		"size big":           "size: 'big' is not a size, such as 512KiB",
		"size -1":            "size: '-1' is not a size, such as 512KiB",
		"size 0":             "size: 0 is out of range",
		"size 5EiB":          "size: 5EiB is out of range",
		"size 1000000000EiB": "size: ",
		"unknown 1 2":        "unknown option 'unknown' for a policy",
	} {
		t.Run(line, func(t *testing.T) {
			expectError(t, line, want, 2)
		})
	}
}

func TestOptionsTakeNoBlock(t *testing.T) {
	for _, line := range []string{
		"args a", "arg a", "flag", "int 1", "duration 1s", "percent 1", "float 1", "size 1",
	} {
		t.Run(line, func(t *testing.T) {
			option, _, _ := strings.Cut(line, " ")
			expectError(t, line+" {\n\t\tinside\n\t}", option+" takes no block", 2)
			expectError(t, line+" {\n\t}", option+" takes no block", 2)
		})
	}
}

func expectError(t *testing.T, text, want string, line int) {
	t.Helper()
	value, err := parse(text)
	if err == nil {
		t.Fatalf("no error, but %v", value)
	}
	at := fmt.Sprintf(", at Testfile:%d", line)
	if !strings.HasPrefix(err.Error(), want) || !strings.HasSuffix(err.Error(), at) {
		t.Errorf("%v, want %s%s", err, want, at)
	}
}

func TestSeenRejectsTheSecond(t *testing.T) {
	d := caddyfile.NewTestDispenser("a\nb\na")
	seen := make(Seen)
	for _, want := range []string{"", "", "duplicate option 'a', at Testfile:3"} {
		d.Next()
		got := ""
		if err := seen.Once(d); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", d.Val(), got, want)
		}
	}
}
