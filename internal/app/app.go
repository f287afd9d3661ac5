// Package app has the app `load_balancer`: the options that belong to no single
// policy or check, and the start and stop of a configuration.
package app

import (
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/internal/orders"
)

func init() { caddy.RegisterModule(new(App)) }

// Name is the app's module ID, and the name of the global option.
const Name = "load_balancer"

// App holds what all policies and checks of a configuration share. It exists
// wherever one of them needs it, configured or not.
type App struct {
	// How long an address that a dynamic source has stopped returning is
	// still probed, so that it is known when it returns. Default: 5m.
	DynamicExpiry caddy.Duration `json:"dynamic_expiry,omitempty"`

	// How many addresses from dynamic sources a handler checks at most; those
	// above that get traffic unchecked. Default: 10000.
	DynamicLimit int `json:"dynamic_limit,omitempty"`

	// How many probes run at once in the process at most; further ones wait.
	// Pools share it: one takes at most four times as many as it leaves free.
	// Default: 1024.
	ProbeConcurrency int `json:"probe_concurrency,omitempty"`

	// Likewise, how many commands of exec checks, each of which is a process.
	// These do not count for probe_concurrency. Default: 16.
	ExecConcurrency int `json:"exec_concurrency,omitempty"`

	// Allow checks to run commands, with all rights that Caddy has. Default:
	// false, the checker `exec` is an error.
	AllowExec bool `json:"allow_exec,omitempty"`

	generation uint64
	lifecycle
	shared
}

// Defaults. Probes of hung upstreams last for their whole timeout: the default
// concurrency is enough for 2,000 of them in one pool, at the default interval and
// timeout. Each probe of exec is a process.
const (
	DefaultProbeConcurrency = 1024
	DefaultExecConcurrency  = 16

	defaultDynamicExpiry = 5 * time.Minute
	defaultDynamicLimit  = 10_000
)

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  Name,
		New: func() caddy.Module { return new(App) },
	}
}

// Of returns the app of the configuration under provision. It provisions the app
// first where nobody has asked for it yet.
func Of(ctx caddy.Context) (*App, error) {
	app, err := ctx.App(Name)
	if err != nil {
		return nil, err
	}
	return app.(*App), nil
}

// Provision sets defaults, and reads what operators have ordered before the process
// started.
func (a *App) Provision(ctx caddy.Context) error {
	a.generation = generations.Add(1)
	if a.DynamicExpiry == 0 {
		a.DynamicExpiry = caddy.Duration(defaultDynamicExpiry)
	}
	if a.DynamicLimit == 0 {
		a.DynamicLimit = defaultDynamicLimit
	}
	if a.ProbeConcurrency == 0 {
		a.ProbeConcurrency = DefaultProbeConcurrency
	}
	if a.ExecConcurrency == 0 {
		a.ExecConcurrency = DefaultExecConcurrency
	}
	storage := ctx.Storage()
	orders.Default.Prime(storage)
	var use *orders.Use
	a.AtStart(func() { use = orders.Default.Attach(storage) })
	a.AtStop(func() { orders.Default.Detach(use, a.CloseBy()) })
	return nil
}

// Validate rejects what is out of range.
func (a *App) Validate() error {
	if err := cfg.CheckDuration("dynamic_expiry", a.DynamicExpiry, 0); err != nil {
		return err
	}
	for _, n := range []struct {
		option string
		value  int
	}{
		{"dynamic_limit", a.DynamicLimit},
		{"probe_concurrency", a.ProbeConcurrency},
		{"exec_concurrency", a.ExecConcurrency},
	} {
		if err := cfg.CheckCount(n.option, n.value); err != nil {
			return err
		}
	}
	return nil
}

func init() {
	cfg.Options(Name, "", "dynamic_expiry", "dynamic_limit", "probe_concurrency", "exec_concurrency", "allow_exec")
}

// UnmarshalCaddyfile sets up the app from Caddyfile tokens. Syntax:
//
//	load_balancer {
//		dynamic_expiry    <duration>
//		dynamic_limit     <addresses>
//		probe_concurrency <probes>
//		exec_concurrency  <commands>
//		allow_exec
//	}
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) (err error) {
	d.Next() // consume the option's name
	if err := cfg.NoArgs(d); err != nil {
		return err
	}
	seen := make(cfg.Seen)
	for d.NextBlock(0) {
		if err := seen.Once(d); err != nil {
			return err
		}
		switch d.Val() {
		case "dynamic_expiry":
			a.DynamicExpiry, err = cfg.Duration(d)
		case "dynamic_limit":
			a.DynamicLimit, err = cfg.Int(d, 1, cfg.MaxCount)
		case "probe_concurrency":
			a.ProbeConcurrency, err = cfg.Int(d, 1, cfg.MaxCount)
		case "exec_concurrency":
			a.ExecConcurrency, err = cfg.Int(d, 1, cfg.MaxCount)
		case "allow_exec":
			a.AllowExec = true
			err = cfg.Flag(d)
		default:
			err = cfg.Unknown(d, Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Interface guards
var (
	_ caddy.App             = (*App)(nil)
	_ caddy.Provisioner     = (*App)(nil)
	_ caddy.Validator       = (*App)(nil)
	_ caddyfile.Unmarshaler = (*App)(nil)
)
