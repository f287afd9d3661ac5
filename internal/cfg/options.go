// Package cfg holds what the modules' Caddyfile parsers share. Every function
// rejects what it cannot use, with the file and line where it stands.
package cfg

import (
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// Seen remembers the options of one block, to reject repeated ones.
type Seen map[string]bool

// Once returns an error if the option at the cursor was met before.
func (s Seen) Once(d *caddyfile.Dispenser) error {
	if s[d.Val()] {
		return d.Errf("duplicate option '%s'", d.Val())
	}
	s[d.Val()] = true
	return nil
}

// Args returns the option's arguments, of which there must be at least min
// and, unless max is negative, at most max.
func Args(d *caddyfile.Dispenser, min, max int) ([]string, error) {
	option := d.Val()
	args := d.RemainingArgs()
	if len(args) < min {
		return nil, d.Errf("%s: missing argument", option)
	}
	if max >= 0 && len(args) > max {
		return nil, d.Errf("%s: unexpected argument '%s'", option, args[max])
	}
	return args, NoBlock(d, option)
}

// NoArgs returns an error if the name at the cursor has arguments: its options
// come in a block.
func NoArgs(d *caddyfile.Dispenser) error {
	name := d.Val()
	if d.NextArg() {
		return d.Errf("%s: unexpected argument '%s'", name, d.Val())
	}
	return nil
}

// NoBlock returns an error if a block follows where none is taken, be it empty.
func NoBlock(d *caddyfile.Dispenser, option string) error {
	line := d.Line()
	if !d.Next() {
		return nil
	}
	if d.Val() == "{" && d.Line() == line {
		return d.Errf("%s takes no block", option)
	}
	d.Prev()
	return nil
}

// Arg returns the option's only argument.
func Arg(d *caddyfile.Dispenser) (string, error) {
	args, err := Args(d, 1, 1)
	if err != nil {
		return "", err
	}
	return args[0], nil
}

// Flag returns an error if the option has an argument.
func Flag(d *caddyfile.Dispenser) error {
	_, err := Args(d, 0, 0)
	return err
}

// Int parses the option's only argument as an integer from min to max.
func Int(d *caddyfile.Dispenser, min, max int) (int, error) {
	option := d.Val()
	arg, err := Arg(d)
	if err != nil {
		return 0, err
	}
	return parseInt(d, option, arg, min, max)
}

func parseInt(d *caddyfile.Dispenser, option, arg string, min, max int) (int, error) {
	n, err := strconv.Atoi(arg)
	if err != nil {
		return 0, d.WrapErr(notA(anInteger, option, arg))
	}
	if err := CheckRange(option, n, min, max); err != nil {
		return 0, d.WrapErr(err)
	}
	return n, nil
}

// MaxDuration is the longest that an option takes: enough for anything, and
// several of them can be added up.
const MaxDuration = 10 * 365 * 24 * time.Hour

// Duration parses the option's only argument as a duration above zero, and up
// to [MaxDuration].
func Duration(d *caddyfile.Dispenser) (caddy.Duration, error) {
	option := d.Val()
	arg, err := Arg(d)
	if err != nil {
		return 0, err
	}
	dur, err := caddy.ParseDuration(arg)
	if err != nil {
		return 0, d.WrapErr(notA(aDuration, option, arg))
	}
	if dur <= 0 {
		return 0, d.Errf("%s: %s is not above zero", option, time.Duration(dur))
	}
	if dur > MaxDuration {
		return 0, d.Errf("%s: %s is more than ten years", option, time.Duration(dur))
	}
	return caddy.Duration(dur), nil
}

// Percent parses the option's only argument as a percentage from min to max,
// with or without the sign.
func Percent(d *caddyfile.Dispenser, min, max float64) (float64, error) {
	option := d.Val()
	arg, err := Arg(d)
	if err != nil {
		return 0, err
	}
	p, err := ParsePercent(option, arg)
	if err == nil {
		err = CheckPercent(option, p, min, max)
	}
	if err != nil {
		return 0, d.WrapErr(err)
	}
	return p, nil
}

// ParsePercent returns what an argument of the option is in percent. It may have
// the sign or not.
func ParsePercent(option, arg string) (float64, error) {
	p, err := strconv.ParseFloat(strings.TrimSuffix(arg, "%"), 64)
	if err != nil || p != p {
		return 0, notA(aPercentage, option, arg)
	}
	return p, nil
}

// Float parses the option's only argument as a number from min to max.
func Float(d *caddyfile.Dispenser, min, max float64) (float64, error) {
	option := d.Val()
	arg, err := Arg(d)
	if err != nil {
		return 0, err
	}
	f, err := strconv.ParseFloat(arg, 64)
	if err != nil || f != f {
		return 0, d.WrapErr(notA(aNumber, option, arg))
	}
	if f < min || f > max {
		return 0, d.Errf("%s: %v is not between %v and %v", option, f, min, max)
	}
	return f, nil
}

// Size parses the option's only argument as a number of bytes above zero,
// such as 512KiB.
func Size(d *caddyfile.Dispenser) (int64, error) {
	option := d.Val()
	arg, err := Arg(d)
	if err != nil {
		return 0, err
	}
	n, err := humanize.ParseBytes(arg)
	if err != nil {
		return 0, d.WrapErr(notA(aSize, option, arg))
	}
	if n == 0 || n > 1<<62 {
		return 0, d.Errf("%s: %s is out of range", option, arg)
	}
	return int64(n), nil
}

// ErrAt is an error with the file and line of a token that has gone by.
func ErrAt(t caddyfile.Token, format string, args ...any) error {
	d := caddyfile.NewDispenser([]caddyfile.Token{t})
	d.Next()
	return d.Errf(format, args...)
}
