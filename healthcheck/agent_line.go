package healthcheck

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Maxima of an agent's numbers. Those of weights are HAProxy's.
const (
	maxAbsolute = 256
	maxPercent  = 100 * maxAbsolute
	maxLimit    = math.MaxInt32
)

// parseLine returns what an agent's line means. The report warns of unknown words. A
// line that has only those is not an agent's, and gives no verdict.
func parseLine(line string) (r Report, err error) {
	r.Force = Abstains
	list, text, _ := strings.Cut(line, "#")
	words := strings.FieldsFunc(list, func(c rune) bool { return c == ' ' || c == '\t' || c == ',' })
	var warnings []string
	unknown := 0
	status := ""
	for _, word := range words {
		switch lower := strings.ToLower(word); lower {
		case "up", "down", "fail", "stopped":
			status = lower
		case "ready":
			r.Order.Mode = Ready
		case "drain":
			r.Order.Mode = Drain
		case "maint":
			r.Order.Mode = Maint
		default:
			known, warning := r.Order.parse(lower)
			if !known {
				unknown++
				warning = "unknown word"
			}
			if warning != "" {
				warnings = append(warnings, fmt.Sprintf("%s '%s'", warning, clip(word, 30)))
			}
		}
	}
	r.Warning = clip(strings.Join(warnings, ", "), maxReason)
	switch {
	case status == "up":
		r.Force = Decides
	case status != "":
		r.Force = Decides
		err = failf("agent says %s", strings.TrimSuffix(status+": "+strings.TrimSpace(text), ": "))
	case len(words) == unknown:
		err = failf("agent says nothing that it could")
	case r.Order.Mode == Maint:
		err = failf("agent says maint")
	}
	return r, err
}

// parse adds a word with a number to the order. It reports whether the word is
// known, and warns of a number out of range.
func (o *Order) parse(word string) (known bool, warning string) {
	if text, ok := strings.CutPrefix(word, "maxconn:"); ok {
		n, ok := parseNumber(text, maxLimit)
		switch {
		case !ok:
			return true, fmt.Sprintf("not a number from 0 to %d:", maxLimit)
		case n == 0:
			o.Limit = NoLimit
		default:
			o.Limit = int(n)
		}
		return true, ""
	}
	text, prefixed := strings.CutPrefix(word, "weight:")
	text, percent := strings.CutSuffix(text, "%")
	switch {
	case percent && (prefixed || startsWithDigit(text)):
		n, ok := parseNumber(text, maxPercent)
		if !ok {
			return true, fmt.Sprintf("not a percentage from 0 to %d:", maxPercent)
		}
		o.Weight = WeightOrder{n, Percent}
	case prefixed:
		n, ok := parseNumber(text, maxAbsolute)
		if !ok {
			return true, fmt.Sprintf("not a weight from 0 to %d:", maxAbsolute)
		}
		o.Weight = WeightOrder{n, Absolute}
	default:
		return false, ""
	}
	return true, ""
}

func parseNumber(text string, most uint64) (n uint32, ok bool) {
	wide, err := strconv.ParseUint(text, 10, 32)
	return uint32(wide), err == nil && wide <= most
}

func startsWithDigit(text string) bool { return text != "" && '0' <= text[0] && text[0] <= '9' }
