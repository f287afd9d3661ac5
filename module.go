// Package evenkeel is a Caddy plugin: upstream selection policies and active
// health checks for reverse_proxy.
//
// Importing it registers the policies (package selectors), the checkers (package
// healthcheck), the source of upstreams (package roster), the app load_balancer (package
// internal/app), the global option of that name, and the admin API below /load_balancer/,
// the commands and the directive load_balancer_status (package admin).
package evenkeel

import (
	_ "github.com/caddy-evenkeel/evenkeel/admin"        // admin API, command, status page
	_ "github.com/caddy-evenkeel/evenkeel/healthcheck"  // checkers
	_ "github.com/caddy-evenkeel/evenkeel/internal/app" // app load_balancer
	_ "github.com/caddy-evenkeel/evenkeel/roster"       // source of upstreams
	_ "github.com/caddy-evenkeel/evenkeel/selectors"    // policies
)
