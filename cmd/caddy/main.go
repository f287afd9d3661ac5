// Command caddy is Caddy with its standard modules and Evenkeel.
package main

import (
	_ "time/tzdata" // time zones for machines that have none

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-evenkeel/evenkeel"
)

func main() { caddycmd.Main() }
