package cfg

import (
	"fmt"
	"strconv"
	"strings"
)

// Statuses is a set of HTTP status codes, from items such as 200, 2xx and
// 200-399.
type Statuses struct {
	ranges []statusRange
	text   string // as written
}

type statusRange struct{ first, last int }

// ParseStatuses parses a list of status codes. The error names the item that
// is not one.
func ParseStatuses(items []string) (Statuses, error) {
	s := Statuses{text: strings.Join(items, ", ")}
	for _, item := range items {
		first, last, isRange := strings.Cut(item, "-")
		if class, ok := strings.CutSuffix(item, "xx"); ok {
			first, last = class+"00", class+"99"
		} else if !isRange {
			last = first
		}
		from, ok1 := parseStatus(first)
		to, ok2 := parseStatus(last)
		if !ok1 || !ok2 {
			return s, fmt.Errorf("'%s' is not a status code, a class such as 2xx, or a range such as 200-399", item)
		}
		if from > to {
			return s, fmt.Errorf("range '%s' ends before it begins", item)
		}
		s.ranges = append(s.ranges, statusRange{from, to})
	}
	return s, nil
}

// parseStatus parses one status code: three digits (RFC 9110, 15).
func parseStatus(text string) (int, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err == nil && len(text) == 3 && n >= 100
}

// Contain reports whether the status is in the set.
func (s Statuses) Contain(status int) bool {
	for _, r := range s.ranges {
		if r.first <= status && status <= r.last {
			return true
		}
	}
	return false
}

// String returns the set as it was written.
func (s Statuses) String() string { return s.text }
