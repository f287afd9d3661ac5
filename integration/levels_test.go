package integration

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"
)

// patient is a check that decides fast, but bears a busy machine.
func patient(options ...string) string {
	return "health_check http " + healthPath + " {\n interval 100ms\n timeout 5s\n fails 2\n" + strings.Join(options, "\n") + "\n}"
}

// tiers starts backends of two levels, and returns a handler over both, whose
// checks are quick. Without panic, one that leaves traffic to nobody answers 503.
func tiers(t *testing.T, perLevel int, options string) (first, second []*backend, site string) {
	t.Helper()
	for n := range perLevel {
		first = append(first, start(t, fmt.Sprint("first ", n)))
		second = append(second, start(t, fmt.Sprint("second ", n)))
	}
	return first, second, policy(addrs(first...)+" "+addrs(second...), "weighted_random",
		"panic_threshold 0\n priority 1 "+addrs(second...)+"\n"+patient()+"\n"+options)
}

func TestALevelTakesOverAsTheOneBeforeFails(t *testing.T) {
	if forked(t) {
		return
	}
	first, second, site := tiers(t, 5, "")
	p := run(t, site)
	l := p.load(atLength(500, 1500))
	shares := []float64{0, 0, 16, 44, 72, 100}
	for down, want := range shares {
		if down > 0 {
			first[down-1].setHealth(status(http.StatusServiceUnavailable))
			awaitDown(t, first[down-1])
		}
		l.expectShare(t, fmt.Sprintf("%d of 5 down", down), "second", want)
	}
	setHealth(second[:4], status(http.StatusServiceUnavailable))
	awaitDown(t, second[:4]...)
	l.expectShare(t, "one is left", second[4].name, 100)
	first[2].setHealth(ok)
	logs.first(t, 2*time.Second, "upstream is healthy", "upstream", first[2].addr)
	before := l.answers(first[2].name)
	eventually(t, time.Second, "one is left in each, and both serve", func() bool { return l.answers(first[2].name) > before+20 })
	second[4].setHealth(status(http.StatusServiceUnavailable))
	awaitDown(t, second[4])
	l.expectShare(t, "one of the first is left", first[2].name, 100)
	if counts := l.stop(); counts.failures() > 0 {
		t.Errorf("requests failed: %v", counts)
	}
}

// expectShare measures which share of the answers comes from backends whose names
// begin as given, until that is within two points of what it should be: soon in
// the short form; the long form looks once, at many answers.
func (l *barrage) expectShare(t *testing.T, when, prefix string, want float64) {
	t.Helper()
	least, most := atLength(1000, 20_000), 20_000
	if want == 0 || want == 100 {
		least, most = 100, 100 // nothing random
	}
	l.last(100 * time.Millisecond) // for picks to know
	from, before := time.Now(), l.made()
	share, n := 0.0, least
	for ; ; n = min(n+500, most) {
		eventually(t, time.Minute, "answers", func() bool { return l.made() >= before+n })
		share = 100 * l.so().between(from, time.Time{}).share(prefix)
		if n == most || math.Abs(share-want) <= 2 {
			break
		}
	}
	t.Logf("%s: %.1f %% of %d from %s, want %.0f %%", when, share, n, prefix, want)
	if wrong := math.Abs(share - want); wrong > 2 || wrong > 0 && (want == 0 || want == 100) {
		t.Errorf("%s: %.1f %% of %d came from %s, want %.0f %%", when, share, n, prefix, want)
	}
}

func TestFailbackIsDelayedOverAReload(t *testing.T) {
	if forked(t) {
		return
	}
	const delay = 1500 * time.Millisecond
	for _, reloads := range []bool{false, true} {
		t.Run(fmt.Sprint("reloads ", reloads), func(t *testing.T) {
			first, second, site := tiers(t, 1, "failback_delay "+delay.String())
			p := run(t, site)
			first[0].setHealth(status(http.StatusServiceUnavailable))
			awaitDown(t, first[0])
			eventually(t, time.Second, "the second takes over", func() bool { return p.get("/").from() == second[0].name })
			l := p.load(100)
			first[0].setHealth(ok)
			up := logs.first(t, 2*time.Second, "upstream is healthy", "upstream", first[0].addr)
			if reloads {
				p.reload(site)
			}
			eventually(t, delay+2*time.Second, "the first has its traffic back", func() bool { return l.answers(first[0].name) > 80 })
			l.stop()
			early := l.history.between(l.began, up.Add(delay-50*time.Millisecond))
			if len(early) < 100 || early.share(first[0].name) > 0 {
				t.Errorf("before the delay was over, %.1f %% of %d requests went to the first", 100*early.share(first[0].name), len(early))
			}
			if back := l.history.between(up.Add(delay+500*time.Millisecond), time.Time{}); back.share(second[0].name) > 0 {
				t.Error("long after the delay the second still gets traffic")
			}
		})
	}
}

// flap has the backend fail its check and pass it again.
func flap(t *testing.T, b *backend) {
	t.Helper()
	b.setHealth(status(http.StatusServiceUnavailable))
	awaitDown(t, b)
	b.setHealth(ok)
	logs.first(t, 2*time.Second, "upstream is healthy", "upstream", b.addr)
}

func TestFailbackIsDelayedAlthoughAnotherOptionHasChanged(t *testing.T) {
	first, second, site := tiers(t, 1, "failback_delay 1h")
	p := run(t, site)
	flap(t, first[0])
	p.reload(strings.Replace(site, "failback_delay 1h", "failback_delay 1h\n retries 3", 1))
	if a := p.get("/"); a.from() != second[0].name {
		t.Errorf("the first must wait: %v", a)
	}
}

func TestALevelThatIsNotTrustedYetIsBetterThanNone(t *testing.T) {
	first, second, site := tiers(t, 1, "failback_delay 1h")
	p := run(t, site)
	flap(t, first[0])
	if a := p.get("/"); a.from() != second[0].name {
		t.Errorf("the first must wait: %v", a)
	}
	second[0].setHealth(status(http.StatusServiceUnavailable))
	awaitDown(t, second[0])
	eventually(t, time.Second, "the first takes over", func() bool { return p.get("/").from() == first[0].name })
}
