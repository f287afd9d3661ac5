package pooltest

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-evenkeel/evenkeel/healthcheck"
)

func init() {
	caddy.RegisterModule(new(switched))
	caddy.RegisterModule(new(reporting))
}

var (
	// Checked are the options of a check that fails for the upstreams that the test
	// has switched off.
	Checked = Object{"health_checks": []Object{{"interval": "1s", "checker": Object{"type": "switched"}}}}

	// Reporting are the options of a check to which upstreams report what the test
	// says.
	Reporting = Object{"health_checks": []Object{{
		"interval": "1s", "on_response": Object{}, "checker": Object{"type": "reporting"},
	}}}
)

// switched is a checker that fails for the upstreams that are switched off.
type switched struct{}

var switches = struct {
	sync.Mutex
	off    map[string]bool
	probes map[string]int
}{off: map[string]bool{}, probes: map[string]int{}}

// CaddyModule returns the Caddy module information.
func (*switched) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: healthcheck.Namespace + ".switched", New: func() caddy.Module { return new(switched) }}
}

// Check implements [healthcheck.Checker].
func (*switched) Check(_ context.Context, t healthcheck.Target) error {
	switches.Lock()
	defer switches.Unlock()
	switches.probes[t.Upstream]++
	if switches.off[t.Upstream] {
		return errors.New("switched off")
	}
	return nil
}

// SetDown switches off just these upstreams, and lets the checks notice. The test
// runs under synctest.
func SetDown(upstreams ...string) {
	SwitchOff(upstreams...)
	time.Sleep(10 * time.Second) // of the bubble's clock
	synctest.Wait()
}

// SwitchOff switches off just these upstreams.
func SwitchOff(upstreams ...string) {
	switches.Lock()
	defer switches.Unlock()
	clear(switches.off)
	for _, u := range upstreams {
		switches.off[u] = true
	}
}

// Probes returns how often each upstream was probed since [ResetProbes].
func Probes() map[string]int {
	switches.Lock()
	defer switches.Unlock()
	return maps.Clone(switches.probes)
}

// ResetProbes has probes count from zero.
func ResetProbes() {
	switches.Lock()
	defer switches.Unlock()
	clear(switches.probes)
}

// reporting is a checker whose probes all pass, with the report that the test has set.
type reporting struct{}

var reports = struct {
	sync.Mutex
	of map[string]healthcheck.Report
}{of: map[string]healthcheck.Report{}}

// CaddyModule returns the Caddy module information.
func (*reporting) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: healthcheck.Namespace + ".reporting", New: func() caddy.Module { return new(reporting) }}
}

// Check implements [healthcheck.Checker].
func (*reporting) Check(context.Context, healthcheck.Target) error { return nil }

// Report implements [healthcheck.Reporter].
func (*reporting) Report(_ context.Context, t healthcheck.Target) (healthcheck.Report, error) {
	reports.Lock()
	defer reports.Unlock()
	return reports.of[t.Upstream], nil
}

// SetReport sets what an upstream reports to its next probes.
func SetReport(address string, report healthcheck.Report) {
	reports.Lock()
	defer reports.Unlock()
	reports.of[address] = report
}

// Report sets what an upstream reports, and lets its checks notice. The test runs
// under synctest.
func Report(address string, report healthcheck.Report) {
	SetReport(address, report)
	time.Sleep(3 * time.Second) // of the bubble's clock
	synctest.Wait()
}

func forgetReports() {
	reports.Lock()
	defer reports.Unlock()
	clear(reports.of)
}
