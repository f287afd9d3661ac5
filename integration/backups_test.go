package integration

import (
	"net/http"
	"testing"
	"time"
)

func TestBackupsGetTrafficOnlyWhenNobodyElseIsLeft(t *testing.T) {
	if forked(t) {
		return
	}
	a, b, spare := start(t, "a"), start(t, "b"), start(t, "spare")
	p := run(t, policy(addrs(a, b, spare), "weighted_random", "backup "+addrs(spare)+"\n"+patient()))
	l := p.load(atLength(500, 1500))
	l.expectShare(t, "all are up", "spare", 0)
	a.setHealth(status(http.StatusServiceUnavailable))
	awaitDown(t, a)
	l.expectShare(t, "one of two is down", "spare", 0)
	b.setHealth(status(http.StatusServiceUnavailable))
	awaitDown(t, b)
	l.expectShare(t, "both are down", "spare", 100)
	a.setHealth(ok)
	logs.first(t, 2*time.Second, "upstream is healthy", "upstream", a.addr)
	l.expectShare(t, "one is back", "spare", 0)
	if counts := l.stop(); counts.failures() > 0 {
		t.Errorf("requests failed: %v", counts)
	}
}

// A retry that has tried all others goes to a backup, with no check to tell.
func TestARetryGoesToABackup(t *testing.T) {
	a, b, spare := start(t, "a"), start(t, "b"), start(t, "spare")
	p := run(t, policy(addrs(a, b, spare), "weighted_random", "backup "+addrs(spare)))
	if got := p.get("/"); got.from() == spare.name {
		t.Errorf("the backup has answered: %v", got)
	}
	a.stop()
	b.stop()
	for range 20 {
		if got := p.get("/"); got.from() != spare.name {
			t.Fatalf("both others are dead: %v", got)
		}
	}
}
