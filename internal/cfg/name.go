package cfg

import (
	"fmt"
	"strings"
)

const maxName = 64 // bytes

// CheckName returns what is wrong with the name that the option gives to a pool or a
// roster: it is a segment of a path, and a label. Empty is for none.
func CheckName(option, name string) error {
	switch {
	case name == "":
		return nil
	case len(name) > maxName:
		return fmt.Errorf("%s: %d bytes are more than %d", option, len(name), maxName)
	case strings.Contains(name, ".."):
		return fmt.Errorf("%s: '%s' has two dots in a row", option, name)
	}
	for _, c := range name {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("._:+-", c)) {
			return fmt.Errorf("%s: '%s' has other characters than letters, digits and ._:+-", option, name)
		}
	}
	return nil
}
