// Package dialaddr parses the dial addresses of upstreams.
package dialaddr

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// ErrPlaceholder means that an address has placeholders that only a request can
// fill in.
var ErrPlaceholder = errors.New("address depends on the request")

// ErrUnset means that an address has placeholders without a value, such as an
// environment variable that is not set: no request can fill those in.
var ErrUnset = errors.New("a placeholder in the address has no value")

// Fill returns the address with global placeholders filled in. The error is
// [ErrPlaceholder] where others remain, and [ErrUnset] where one has no value.
func Fill(text string) (string, error) {
	filled, err := caddy.NewReplacer().ReplaceOrErr(text, true, true)
	if err != nil && strings.HasPrefix(err.Error(), "evaluated") { // but to nothing
		return "", fmt.Errorf("%w: %v", ErrUnset, err)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %v", ErrPlaceholder, err)
	}
	return filled, nil
}

// Resolve fills in an address, as [Fill] does, and parses it. It must stand for one
// socket.
func Resolve(text string) (reverseproxy.DialInfo, error) {
	filled, err := Fill(text)
	if err != nil {
		return reverseproxy.DialInfo{}, err
	}
	addr, err := caddy.ParseNetworkAddress(filled)
	if err != nil {
		return reverseproxy.DialInfo{}, err
	}
	if n := addr.PortRangeSize(); n != 1 {
		return reverseproxy.DialInfo{}, fmt.Errorf("address %s stands for %d sockets", text, n)
	}
	return reverseproxy.DialInfo{
		Network: addr.Network,
		Address: addr.JoinHostPort(0),
		Host:    addr.Host,
		Port:    strconv.Itoa(int(addr.StartPort)),
	}, nil
}
