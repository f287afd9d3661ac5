package healthcheck

import (
	"os"
	"regexp"
)

var environment = regexp.MustCompile(`\{env\.([^{}"\\]+)\}`)

// unsetVariables returns the environment variables that are not set and for which
// the configuration of a checker has placeholders.
func unsetVariables(config []byte) (names []string) {
	for _, match := range environment.FindAllSubmatch(config, -1) {
		if name := string(match[1]); os.Getenv(name) == "" {
			names = append(names, name)
		}
	}
	return names
}
