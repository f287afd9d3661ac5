package cfg

import (
	"fmt"
	"strings"
)

// most is how many things an error lists.
const most = 10

// There says in an error which there are of what it has asked for in vain.
func There(names []string) string {
	switch {
	case len(names) == 0:
		return "there are none"
	case len(names) == 1:
		return "there is only " + names[0]
	case len(names) > most:
		return fmt.Sprintf("there are %s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return "there are " + strings.Join(names, ", ")
}

// NoUpstream is the error for what matches none of the upstreams at these dial
// addresses.
func NoUpstream(name string, addresses []string) error {
	hint := ""
	if strings.Contains(name, "{") {
		hint = "; a placeholder names only an upstream that is written in the same way" + atParse(name)
	}
	return fmt.Errorf("no upstream is '%s'; %s%s", name, There(addresses), hint)
}

// atParse says what to write in place of a placeholder that has no value yet when
// the Caddyfile is read.
func atParse(text string) string {
	_, rest, ok := strings.Cut(text, "{env.")
	name, _, closed := strings.Cut(rest, "}")
	if !ok || !closed {
		return ""
	}
	return fmt.Sprintf("; {$%s} is replaced when the Caddyfile is read", name)
}
