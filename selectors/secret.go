package selectors

import (
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
)

// errBraces is what fillSecret returns where it cannot say what is wrong: a message
// of Caddy's would quote the text, which may be part of a secret that has braces.
var errBraces = errors.New("has a placeholder without a value when the configuration is loaded; use {env.NAME} or {file./path}")

// fillSecret returns the secret that the text of an option stands for, in which
// {env.NAME} and {file./path} are replaced. Errors do not reveal it.
func fillSecret(text string) (string, error) {
	secret, err := caddy.NewReplacer().ReplaceOrErr(text, true, true)
	switch {
	case err != nil && strings.HasPrefix(err.Error(), "unrecognized"):
		return "", errBraces
	case err != nil:
		return "", fmt.Errorf("%s: what it names is missing, empty or cannot be read", strings.TrimPrefix(err.Error(), "evaluated "))
	}
	if secret = strings.TrimSpace(secret); secret == "" {
		return "", errors.New("empty")
	}
	return secret, nil
}

// shortSecret is the length in bytes below which a secret might be guessed.
const shortSecret = 16

// sizes are fields of a log line on a secret that is too short.
func sizes(secret string) []zap.Field {
	return []zap.Field{zap.Int("bytes", len(secret)), zap.Int("enough", shortSecret)}
}
