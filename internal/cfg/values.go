package cfg

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// notA is the error for an argument that is not what it should be: a duration, an
// integer.
func notA(what, option, arg string) error {
	switch {
	case placeholder.MatchString(arg):
		return fmt.Errorf("%s: '%s' has no value yet when the Caddyfile is read%s", option, arg, atParse(arg))
	case what == aDuration && number(strings.TrimSpace(arg)):
		return fmt.Errorf("%s: '%s' has no unit; write it with one, such as \"%ss\"", option, arg, strings.TrimSpace(arg))
	case what == aDuration:
		return fmt.Errorf("%s: '%s' is not a duration, such as \"5s\"", option, arg)
	}
	return fmt.Errorf("%s: '%s' is not %s", option, arg, what)
}

// What an argument can be.
const (
	aDuration   = "a duration"
	anInteger   = "an integer"
	aNumber     = "a number"
	aPercentage = "a percentage"
	aSize       = "a size, such as 512KiB"
)

// NotADuration is the error for an argument that should be a duration.
func NotADuration(option, arg string) error { return notA(aDuration, option, arg) }

// NotAnInteger is the error for an argument that should be an integer.
func NotAnInteger(option, arg string) error { return notA(anInteger, option, arg) }

// NotANumber is the error for an argument that should be a number.
func NotANumber(option, arg string) error { return notA(aNumber, option, arg) }

var placeholder = regexp.MustCompile(`\{[^{}\s]+\}`)

func number(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil
}
