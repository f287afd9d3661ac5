package cfg

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/internal/dialaddr"
)

// ParseMember parses an upstream of a dynamic source, as users write one for
// reverse_proxy, and returns its dial addresses: several for a range of ports. It takes
// no scheme, since a handler sets its transport by those of its static upstreams only.
func ParseMember(text string) ([]string, error) {
	scheme, rest, has := strings.Cut(text, "://")
	if !has {
		scheme, rest, has = strings.Cut(text, "+h2c/")
	}
	if has {
		return nil, fmt.Errorf("'%s': a dynamic upstream has no scheme; write %s, and say how to talk to it in the block transport%s",
			text, withPort(scheme, rest), transportOf(scheme))
	}
	matches, err := ParseUpstream(text)
	if err != nil {
		return nil, err
	}
	if len(matches) == 1 && matches[0].Range.IsValid() {
		return nil, fmt.Errorf("'%s' is a range of addresses, not an upstream", text)
	}
	if matches[0].Address == "" || strings.Contains(text, "{") { // a bare host, or not parsed yet
		if matches, err = dialled(text); err != nil {
			return nil, err
		}
	}
	addresses := make([]string, len(matches))
	for i, m := range matches {
		addresses[i] = m.Address
		if err := CheckMember(m.Address); err != nil {
			return nil, err
		}
	}
	return addresses, nil
}

// CheckMember returns what is wrong with the dial address of a dynamic upstream. What a
// placeholder in it stands for is not known yet.
func CheckMember(address string) error {
	if address == "" {
		return errors.New("empty upstream")
	}
	if _, err := dialaddr.Resolve(address); err != nil && !errors.Is(err, dialaddr.ErrPlaceholder) && !errors.Is(err, dialaddr.ErrUnset) {
		return fmt.Errorf("'%s': %v", address, err)
	}
	network, host, _, err := caddy.SplitNetworkAddress(address)
	switch {
	case strings.Contains(address, "{"):
		return nil
	case err != nil:
		return fmt.Errorf("'%s': %v", address, err)
	case host == "":
		return fmt.Errorf("'%s' names no host", address)
	case !slices.Contains([]string{"", "tcp", "tcp4", "tcp6", "unix"}, network):
		return fmt.Errorf("'%s': '%s' is no network that upstreams are dialled on; there are tcp, tcp4, tcp6, unix", address, network)
	}
	return nil
}

// withPort returns the upstream without its scheme, whose port it gets.
func withPort(scheme, rest string) string {
	switch {
	case scheme == "unix":
		return "unix/" + rest
	case scheme == "https" && !strings.Contains(rest, ":"):
		return rest + ":443"
	}
	return rest
}

// transportOf says in an error which transport a scheme stands for.
func transportOf(scheme string) string {
	switch scheme {
	case "https":
		return ": tls"
	case "h2c", "unix":
		return ": versions h2c"
	}
	return ""
}
