// Package evenkeel is a Caddy plugin: upstream selection policies and active
// health checks for reverse_proxy.
//
// Importing it registers the policies (package selectors), the checkers and the
// app load_balancer (package healthcheck), and the global option of that name.
package evenkeel

import (
	_ "github.com/caddy-evenkeel/evenkeel/healthcheck" // checkers, and the app load_balancer
	_ "github.com/caddy-evenkeel/evenkeel/selectors"   // policies
)
