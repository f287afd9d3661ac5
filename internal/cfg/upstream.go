package cfg

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// Match is how an option names upstreams: by exact address, by host or by an
// address range.
type Match struct {
	Address string       // as dialled; empty if another field is set
	Host    string       // any port
	Range   netip.Prefix // any port
}

// ParseUpstream parses an upstream as users write it: as an upstream of
// reverse_proxy (https://h, [::1]:80, unix//run/a.sock, h:8080-8083), as it is
// dialled, as a bare host, or as a CIDR range. A range of ports gives several
// matches.
func ParseUpstream(text string) ([]Match, error) {
	switch {
	case text == "":
		return nil, fmt.Errorf("empty upstream")
	case strings.Contains(text, "{"):
		return []Match{{Address: text}}, nil // with placeholders: to the letter
	}
	if prefix, err := netip.ParsePrefix(text); err == nil {
		if ip := prefix.Addr(); ip.Is4In6() && prefix.Bits() >= 96 {
			prefix = netip.PrefixFrom(ip.Unmap(), prefix.Bits()-96)
		}
		return []Match{{Range: prefix.Masked()}}, nil
	}
	if strings.Contains(text, "://") {
		return dialled(text)
	}
	network, host, port, err := caddy.SplitNetworkAddress(text)
	if caddy.IsUnixNetwork(network) || caddy.IsFdNetwork(network) || network == "unix+h2c" {
		return dialled(text)
	}
	if err != nil || strings.Count(text, "[") != strings.Count(text, "]") ||
		strings.ContainsAny(network, ".:") || strings.ContainsAny(host, "/[] \t") {
		return nil, fmt.Errorf("'%s' is neither an upstream nor a CIDR range", text)
	}
	if network == "" && port == "" && !strings.HasSuffix(text, ":") {
		return []Match{{Host: host}}, nil
	}
	return dialled(text)
}

// dialled returns the addresses that Caddy dials for an upstream.
func dialled(text string) ([]Match, error) {
	var h reverseproxy.Handler
	err := h.UnmarshalCaddyfile(caddyfile.NewDispenser([]caddyfile.Token{
		{File: "upstream", Line: 1, Text: "reverse_proxy"},
		{File: "upstream", Line: 1, Text: text},
	}))
	if err != nil {
		// Where that is, the caller knows better.
		message, _, _ := strings.Cut(err.Error(), ", at upstream:1")
		return nil, errors.New(message)
	}
	matches := make([]Match, len(h.Upstreams))
	for i, u := range h.Upstreams {
		matches[i] = Match{Address: u.Dial}
	}
	return matches, nil
}

// String returns the match in the form that [ParseUpstream] takes.
func (m Match) String() string {
	switch {
	case m.Address != "":
		return m.Address
	case m.Host != "":
		return m.Host
	}
	return m.Range.String()
}

// Upstreams assigns values to upstreams by the most specific match: exact
// address, then host, then the narrowest range.
type Upstreams[V any] struct {
	exact  map[string]V
	hosts  map[string]V
	ranges map[netip.Prefix]V
}

// Set assigns the value, and reports false if the match has one already.
func (u *Upstreams[V]) Set(m Match, value V) bool {
	if u.exact == nil {
		u.exact, u.hosts, u.ranges = make(map[string]V), make(map[string]V), make(map[netip.Prefix]V)
	}
	switch {
	case m.Address != "":
		return setNew(u.exact, m.Address, value)
	case m.Host != "":
		return setNew(u.hosts, strings.ToLower(m.Host), value)
	}
	return setNew(u.ranges, m.Range, value)
}

func setNew[K comparable, V any](m map[K]V, key K, value V) bool {
	if _, ok := m[key]; ok {
		return false
	}
	m[key] = value
	return true
}

// Get returns the value for the upstream that is dialled at the given address.
func (u *Upstreams[V]) Get(address string) (value V, ok bool) {
	matches := u.All(address)
	if len(matches) == 0 {
		return value, false
	}
	switch m := matches[0]; {
	case m.Address != "":
		return u.exact[m.Address], true
	case m.Host != "":
		return u.hosts[m.Host], true
	default:
		return u.ranges[m.Range], true
	}
}

// All returns the matches that hold for the upstream which is dialled at the
// given address, the most specific first.
func (u *Upstreams[V]) All(address string) (matches []Match) {
	if _, ok := u.exact[address]; ok {
		matches = append(matches, Match{Address: address})
	}
	network, host, _, err := caddy.SplitNetworkAddress(address)
	if err != nil || caddy.IsUnixNetwork(network) || caddy.IsFdNetwork(network) {
		return matches
	}
	host = strings.ToLower(host)
	if _, ok := u.hosts[host]; ok {
		matches = append(matches, Match{Host: host})
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return matches
	}
	from := len(matches)
	for prefix := range u.ranges {
		if prefix.Contains(ip.Unmap()) {
			matches = append(matches, Match{Range: prefix})
		}
	}
	slices.SortFunc(matches[from:], func(a, b Match) int { return b.Range.Bits() - a.Range.Bits() })
	return matches
}

// Has reports whether the match has a value.
func (u *Upstreams[V]) Has(m Match) bool {
	var ok bool
	switch {
	case m.Address != "":
		_, ok = u.exact[m.Address]
	case m.Host != "":
		_, ok = u.hosts[strings.ToLower(m.Host)]
	default:
		_, ok = u.ranges[m.Range]
	}
	return ok
}

// Matches returns all matches that have a value.
func (u *Upstreams[V]) Matches() []Match {
	var all []Match
	for address := range u.exact {
		all = append(all, Match{Address: address})
	}
	for host := range u.hosts {
		all = append(all, Match{Host: host})
	}
	for prefix := range u.ranges {
		all = append(all, Match{Range: prefix})
	}
	return all
}
