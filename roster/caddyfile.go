package roster

import (
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/internal/orders"
)

func init() { cfg.Options("roster", "", "member") }

// UnmarshalCaddyfile sets up the source from Caddyfile tokens. Syntax:
//
//	dynamic roster [<name>] {
//		member <upstream> [<weight>]
//	}
func (s *Source) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the source's name
	if d.NextArg() {
		s.Name = d.Val()
		if err := cfg.CheckName("roster", s.Name); err != nil {
			return d.WrapErr(err)
		}
		if s.Name == "" {
			return d.Err("roster: the name is empty")
		}
		if d.NextArg() {
			return d.Errf("roster: unexpected argument '%s'; members come in a block, each as 'member <upstream>'", d.Val())
		}
	}
	seen := make(map[string]bool)
	for d.NextBlock(0) {
		if d.Val() != "member" {
			return cfg.Unknown(d, "roster")
		}
		if err := s.unmarshalMember(d, seen); err != nil {
			return err
		}
	}
	return nil
}

// unmarshalMember parses the option at the cursor. Seen are the addresses so far.
func (s *Source) unmarshalMember(d *caddyfile.Dispenser, seen map[string]bool) error {
	args, err := cfg.Args(d, 1, 2)
	if err != nil {
		return err
	}
	var weight *int
	if len(args) == 2 {
		n, err := strconv.Atoi(args[1])
		switch {
		case err != nil:
			return d.WrapErr(cfg.NotAnInteger("member", args[1]))
		case n < 0 || n > orders.MaxWeight:
			return d.Errf("member: weight %d is not between 0 and %d", n, orders.MaxWeight)
		}
		weight = &n
	}
	addresses, err := cfg.ParseMember(args[0])
	if err != nil {
		return d.Errf("member: %v", err)
	}
	for _, address := range addresses {
		if seen[address] {
			return d.Errf("member: duplicate upstream '%s'", address)
		}
		seen[address] = true
		s.Members = append(s.Members, Member{Dial: address, Weight: weight})
	}
	return nil
}
