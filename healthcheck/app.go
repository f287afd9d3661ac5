package healthcheck

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

func init() { caddy.RegisterModule(new(App)) }

const appName = "load_balancer"

// App holds what all policies and checks of a configuration share. It is there
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
	ancestors  map[nameOf]*target // found while checks are provisioned; guarded by the monitor's mu

	mu      sync.Mutex
	started bool
	pending []*Watch  // those that wait for the start
	waiting []func()  // likewise
	closing time.Time // until when closing waits; zero before it begins
}

// generations counts the configurations of the process.
var generations atomic.Uint64

// AppOf returns the app of the configuration under provision. It provisions the
// app first where nobody has asked for it yet.
func AppOf(ctx caddy.Context) (*App, error) {
	app, err := ctx.App(appName)
	if err != nil {
		return nil, err
	}
	return app.(*App), nil
}

// Generation returns a number that no other configuration of the process has.
// Later ones have higher numbers; none has 0.
func (a *App) Generation() uint64 { return a.generation }

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  appName,
		New: func() caddy.Module { return new(App) },
	}
}

// Provision sets defaults.
func (a *App) Provision(caddy.Context) error {
	a.generation = generations.Add(1)
	a.ancestors = make(map[nameOf]*target)
	if a.DynamicExpiry == 0 {
		a.DynamicExpiry = caddy.Duration(5 * time.Minute)
	}
	if a.DynamicLimit == 0 {
		a.DynamicLimit = 10_000
	}
	if a.ProbeConcurrency == 0 {
		a.ProbeConcurrency = defaultConcurrency
	}
	if a.ExecConcurrency == 0 {
		a.ExecConcurrency = defaultExecConcurrency
	}
	return nil
}

// Validate rejects what is out of range.
func (a *App) Validate() error {
	if a.DynamicExpiry < 0 || a.DynamicExpiry > caddy.Duration(cfg.MaxDuration) {
		return fmt.Errorf("dynamic_expiry: %s is not above zero and below ten years", time.Duration(a.DynamicExpiry))
	}
	if a.DynamicLimit < 0 {
		return fmt.Errorf("dynamic_limit: %d is not above zero", a.DynamicLimit)
	}
	if a.ProbeConcurrency < 0 {
		return fmt.Errorf("probe_concurrency: %d is not above zero", a.ProbeConcurrency)
	}
	if a.ExecConcurrency < 0 {
		return fmt.Errorf("exec_concurrency: %d is not above zero", a.ExecConcurrency)
	}
	return nil
}

// Start lets the probes go out: those of a configuration that is only
// validated, or that fails to load, never do.
func (a *App) Start() error {
	a.mu.Lock()
	a.started = true
	pending := a.pending
	waiting := a.waiting
	a.pending, a.waiting = nil, nil
	a.mu.Unlock()
	monitor.enter(a)
	monitor.settleHeritage(a, pending)
	monitor.start(pending)
	for _, f := range waiting {
		f()
	}
	return nil
}

// AtStart calls the function when the configuration starts, or now if it has:
// what a configuration does before that is of no interest to others, and it may
// never start.
func (a *App) AtStart(f func()) {
	a.mu.Lock()
	started := a.started
	if !started {
		a.waiting = append(a.waiting, f)
	}
	a.mu.Unlock()
	if started {
		f()
	}
}

// Stop gives up the limits of the configuration. Each policy closes the watches
// that it has opened.
func (a *App) Stop() error {
	monitor.leave(a)
	return nil
}

// Watch probes the upstream at the given dial address from the start of the
// configuration on, or from now on where it has started. Notify is called
// after each change of the [State] that decides who may be picked (verdict,
// Degraded, Orders, Mended), from any goroutine. Expired, unless nil, is
// asked before each probe whether the watch has ended. The error is
// [ErrPlaceholder] where the address depends on the request.
func (c *Check) Watch(address string, notify func(), expired func(now time.Time) bool) (*Watch, error) {
	aim, err := c.target(address)
	if err != nil {
		return nil, err
	}
	w := monitor.watch(c, aim, notify, expired)
	c.app.mu.Lock()
	started := c.app.started
	if !started {
		c.app.pending = append(c.app.pending, w)
	}
	c.app.mu.Unlock()
	if started {
		monitor.start([]*Watch{w})
	}
	return w, nil
}

// Close ends watches and waits for the probes that they had under way, whose
// results count for nothing.
func Close(watches ...*Watch) { monitor.closeAll(watches, time.Now().Add(closePatience)) }

func init() {
	cfg.Options("load_balancer", "", "dynamic_expiry", "dynamic_limit", "probe_concurrency", "exec_concurrency", "allow_exec")
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
		const most = 1 << 30
		switch d.Val() {
		case "dynamic_expiry":
			a.DynamicExpiry, err = cfg.Duration(d)
		case "dynamic_limit":
			a.DynamicLimit, err = cfg.Int(d, 1, most)
		case "probe_concurrency":
			a.ProbeConcurrency, err = cfg.Int(d, 1, most)
		case "exec_concurrency":
			a.ExecConcurrency, err = cfg.Int(d, 1, most)
		case "allow_exec":
			a.AllowExec = true
			err = cfg.Flag(d)
		default:
			err = cfg.Unknown(d, "load_balancer")
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
