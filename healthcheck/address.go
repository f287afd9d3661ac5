package healthcheck

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// ErrPlaceholder means that an address has placeholders that only a request
// can fill in, so that there is nothing to probe.
var ErrPlaceholder = errors.New("address depends on the request")

// ErrUnset means that an address has placeholders without a value, such as an
// environment variable that is not set: no request can fill those in.
var ErrUnset = errors.New("a placeholder in the address has no value")

// Fill returns an upstream's dial address with global placeholders filled in; the
// error is [ErrPlaceholder] where others remain, and [ErrUnset] where one has no
// value.
func Fill(address string) (string, error) {
	filled, err := caddy.NewReplacer().ReplaceOrErr(address, true, true)
	if err != nil && strings.HasPrefix(err.Error(), "evaluated") { // but to nothing
		return "", fmt.Errorf("%w: %v", ErrUnset, err)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %v", ErrPlaceholder, err)
	}
	return filled, nil
}

// Resolve parses an upstream's dial address: see [Fill].
func Resolve(address string) (reverseproxy.DialInfo, error) {
	filled, err := Fill(address)
	if err != nil {
		return reverseproxy.DialInfo{}, err
	}
	addr, err := caddy.ParseNetworkAddress(filled)
	if err != nil {
		return reverseproxy.DialInfo{}, err
	}
	if n := addr.PortRangeSize(); n != 1 {
		return reverseproxy.DialInfo{}, fmt.Errorf("address %s stands for %d sockets", address, n)
	}
	return reverseproxy.DialInfo{
		Network: addr.Network,
		Address: addr.JoinHostPort(0),
		Host:    addr.Host,
		Port:    strconv.Itoa(int(addr.StartPort)),
	}, nil
}
