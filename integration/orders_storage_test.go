package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Two Caddys share a storage: an order given to either is obeyed by both within five
// seconds, and by one that is killed and started again from its first request on.
func TestInstancesThatShareAStorage(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b")
	site := policy(addrs(b...), "weighted_random", "")
	one, two := startInstance(t, 1, site), startInstance(t, 2, site)
	only := func(i *instance, name string) bool {
		for range 10 {
			if i.from(t) != name {
				return false
			}
		}
		return true
	}
	tellAdminAt(t, one.Admin, http.MethodPatch, upstreamsPath(b[0].addr), `{"state": "drain"}`, 200)
	eventually(t, 5*time.Second, "both obey", func() bool { return only(one, "b") && only(two, "b") })
	two.kill()
	two = startInstance(t, 3, site)
	if !only(two, "b") {
		t.Error("after it was killed and started again, it does not obey")
	}
	tellAdminAt(t, two.Admin, http.MethodPatch, upstreamsPath(b[1].addr), `{"state": "maintenance"}`, 200)
	tellAdminAt(t, two.Admin, http.MethodDelete, upstreamsPath(b[0].addr), "", 204)
	eventually(t, 5*time.Second, "both obey the other", func() bool { return only(one, "a") && only(two, "a") })
}

// The storage breaks under load, in several ways, and is mended. No request fails, what
// was ordered is obeyed all along, and a reload changes nothing of that.
func TestStorageBreaksUnderLoad(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b")
	site := policy(addrs(b...), "weighted_random", "")
	p := run(t, site)
	ordered(t, b[0], `{"state": "drain"}`)
	awaitState(t, b[0].addr, "draining", "by an operator")
	p.get("/")
	b[0].requests.Store(0)
	l := p.load(100)
	l.awaitMore(t, 20)
	dir := filepath.Join(storageDir, "load_balancer")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// A file instead of the directory: nothing can be read or written.
	must(os.Rename(dir, dir+".away"))
	must(os.WriteFile(dir, []byte("no directory"), 0o600))
	tellAdmin(t, http.MethodPatch, upstreamsPath(b[1].addr), `{"weight": 5}`, 503)
	tellAdmin(t, http.MethodDelete, upstreamsPath(b[0].addr), "", 503)
	logs.first(t, 5*time.Second, "the storage cannot be read: the orders of operators go on as they were last known")
	p.reload(site + "\n# 1")
	must(os.Remove(dir))
	// Everything is lost: what is known is written again.
	logs.first(t, 5*time.Second, "the storage had lost the orders of operators: they are written to it again, as they were last known")
	must(os.RemoveAll(dir + ".away"))
	files, err := filepath.Glob(filepath.Join(dir, "orders", "*.json"))
	must(err)
	if len(files) != 1 {
		t.Fatalf("%d orders in the storage", len(files))
	}
	// The order is corrupt, and a killed writer has left its file.
	must(os.WriteFile(files[0], []byte("{\"version\": 1, \"ord"), 0o600))
	must(os.WriteFile(filepath.Join(dir, "orders", "2873426"), nil, 0o600))
	logs.first(t, 5*time.Second, "an order in the storage cannot be read: it stays as it was last known; give it again, or delete it")
	p.reload(site + "\n# 2")
	awaitState(t, b[0].addr, "draining", "by an operator")
	l.awaitMore(t, 50)
	if n := b[0].requests.Load(); n > 0 {
		t.Errorf("the drained upstream got %d requests", n)
	}
	ready(t, b[0])
	eventually(t, 3*time.Second, "a is back", func() bool { return b[0].requests.Load() > 0 })
	if counts := l.stop(); sum(counts.failed) > 0 {
		t.Error(counts)
	}
}

// A client that does not read what it asked for holds up neither requests nor orders, and
// open streams of events no reload.
func TestSlowAdminClients(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b")
	p := run(t, policy(addrs(b...), "weighted_random", ""))
	for range 20 {
		for _, path := range []string{"/load_balancer/events", "/load_balancer/upstreams"} {
			res, err := http.Get("http://" + adminAddr + path)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close() // unread
		}
	}
	ordered(t, b[0], `{"state": "drain"}`)
	eventually(t, 3*time.Second, "it is obeyed", func() bool { return p.shares(10)["b"] == 10 })
	ready(t, b[0])
	stopped := logs.count("stopped previous server")
	p.reload(policy(addrs(b...), "weighted_random", "") + "\n# again")
	eventually(t, 5*time.Second, "the admin server before has ended", func() bool { return logs.count("stopped previous server") > stopped })
}
