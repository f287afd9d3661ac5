package cfg

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// Match is how an option names upstreams: by exact address, by host or by an
// address range.
type Match struct {
	Address string       // as dialled; empty if another field is set
	Host    string       // any port
	Range   netip.Prefix // any port
}

// maxPorts bounds a port range.
const maxPorts = 65536

// ParseUpstream parses an upstream as users write it: as an upstream of
// reverse_proxy (https://h, [::1]:80, unix//run/a.sock, h:8080-8083), as it is
// dialled, as a bare host, or as a CIDR range. A range of ports gives several
// matches.
func ParseUpstream(text string) ([]Match, error) {
	if text == "" {
		return nil, fmt.Errorf("empty upstream")
	}
	if strings.Contains(text, "{") {
		return []Match{{Address: text}}, nil // with placeholders: to the letter
	}
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		return parseURL(text, scheme, rest)
	}
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return []Match{{Range: prefix.Masked()}}, nil
	}
	network, host, port, err := caddy.SplitNetworkAddress(text)
	if err != nil {
		host, port = text, "" // an IPv6 address without brackets, say
	}
	switch {
	case network == "unix+h2c":
		return []Match{{Address: "unix/" + host}}, nil
	case caddy.IsUnixNetwork(network) || caddy.IsFdNetwork(network):
		return []Match{{Address: network + "/" + host}}, nil
	case strings.ContainsAny(network, ".:") || strings.Contains(host, "/"):
		return nil, fmt.Errorf("'%s' is neither an upstream nor a CIDR range", text)
	case port == "" && network == "":
		return []Match{{Host: strings.Trim(host, "[]")}}, nil
	}
	return expand(network, host, port)
}

// parseURL parses an upstream written with a scheme.
func parseURL(text, scheme, rest string) ([]Match, error) {
	standard := map[string]string{"http": "80", "h2c": "80", "https": "443"}[scheme]
	if standard == "" {
		return nil, fmt.Errorf("'%s': unsupported scheme %s://", text, scheme)
	}
	// url.Parse does not take port ranges, and needs not see the port.
	host, port := rest, standard
	if h, p, err := net.SplitHostPort(rest); err == nil {
		host, port = h, p
	}
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		host = "[" + host + "]"
	}
	u, err := url.Parse(scheme + "://" + host)
	if err != nil || u.Host != host || strings.Contains(port, "/") {
		return nil, fmt.Errorf("'%s': an upstream has a scheme, a host and a port, and nothing else", text)
	}
	return expand("", u.Hostname(), port)
}

// expand returns a match for each port of a range.
func expand(network, host, port string) ([]Match, error) {
	first, last, isRange := strings.Cut(port, "-")
	if port == "" {
		first = "80"
	}
	if !isRange {
		last = first
	}
	from, err1 := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	if err1 != nil || err2 != nil || to < from || to-from >= maxPorts {
		return nil, fmt.Errorf("'%s' is not a port or a range of ports", port)
	}
	matches := make([]Match, 0, to-from+1)
	for p := from; p <= to; p++ {
		address := caddy.JoinNetworkAddress(network, host, strconv.FormatUint(p, 10))
		matches = append(matches, Match{Address: address})
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
	for _, m := range u.All(address) {
		switch {
		case m.Address != "":
			return u.exact[m.Address], true
		case m.Host != "":
			return u.hosts[m.Host], true
		}
		return u.ranges[m.Range], true
	}
	return value, false
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
