package healthcheck

import (
	"os"
	"regexp"
)

var environment = regexp.MustCompile(`\{env\.([^{}"\\]+)\}`)

// unset returns the names of the environment variables that the configuration of a
// checker has placeholders for, and that are not set.
func unset(config []byte) (names []string) {
	for _, match := range environment.FindAllSubmatch(config, -1) {
		if name := string(match[1]); os.Getenv(name) == "" {
			names = append(names, name)
		}
	}
	return names
}
