package integration

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// hashes are the policies by hash.
var hashes = []string{"maglev", "rendezvous", "ring_hash"}

// calm is for tests in which nobody is to be ejected: what is known of an address
// outlives its test, and another one may get it.
const calm = "outlier_detection off"

// trusting has X-Forwarded-For say who the client is.
const trusting = "servers {\n trusted_proxies static 127.0.0.1\n}"

// asks makes the n-th request that has the key.
type asks func(key string, n int64) (path string, header []string)

// byUser has the user's name as key; the path does not matter.
func byUser(key string, n int64) (path string, header []string) {
	return fmt.Sprint("/", n), []string{"X-User", key}
}

const user = "{http.request.header.X-User}"

var keyed = []struct {
	key  string
	asks asks
}{
	{user, byUser},
	{"{uri}", func(key string, n int64) (string, []string) {
		return "/" + key + "?a=1", []string{"X-User", fmt.Sprint(n)}
	}},
	{"{client_ip}", func(key string, n int64) (string, []string) {
		return fmt.Sprint("/", n), []string{"X-Forwarded-For", "192.0.2." + key}
	}},
	{`"{client_ip} {path} {header.X-User} {query.q}"`, func(key string, n int64) (string, []string) {
		part := key + key + key + key
		return "/" + part[1:2] + "?q=" + part[:1] + "&n=" + fmt.Sprint(n),
			[]string{"X-Forwarded-For", "192.0.2." + key[:1], "X-User", key}
	}},
}

// keys returns n keys, which are numbers.
func keys(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

// homes asks for each key once, and returns who has answered.
func (p *proxy) homes(keys []string, ask asks) map[string]string {
	p.t.Helper()
	found := make(map[string]string)
	var next atomic.Int64
	var mu sync.Mutex
	var done sync.WaitGroup
	for range 3 {
		done.Go(func() {
			for n := next.Add(1); n <= int64(len(keys)); n = next.Add(1) {
				path, header := ask(keys[n-1], requestNumber.Add(1))
				a := p.get(path, header...)
				if a.err != nil || a.status != http.StatusOK {
					p.t.Errorf("request failed: %v", a)
				}
				mu.Lock()
				found[keys[n-1]] = a.from()
				mu.Unlock()
			}
		})
	}
	done.Wait()
	return found
}

// requestNumber makes requests differ in what is not their key.
var requestNumber atomic.Int64

// moves says which keys have moved, from whom to whom.
func moves(before, after map[string]string) map[string]int {
	all := make(map[string]int)
	for key, home := range before {
		if after[key] != home {
			all[home+" to "+after[key]]++
		}
	}
	return all
}

// expectSame expects that no key has moved.
func expectSame(t *testing.T, when string, before, after map[string]string) {
	t.Helper()
	if m := moves(before, after); len(m) > 0 {
		t.Errorf("%s, of %d keys have moved: %v", when, len(before), m)
	}
}

// count returns how many keys each has.
func count(homes map[string]string) map[string]int {
	counts := make(map[string]int)
	for _, home := range homes {
		counts[home]++
	}
	return counts
}

func TestAKeyKeepsItsPlace(t *testing.T) {
	b := backends(t, "a", "b", "c", "d")
	reversed := slices.Clone(b)
	slices.Reverse(reversed)
	for _, name := range hashes {
		for _, by := range keyed {
			t.Run(name+" "+by.key, func(t *testing.T) {
				site := policy(addrs(b...), name+" "+by.key, calm)
				p := run(t, site, trusting)
				all := keys(60)
				first := p.homes(all, by.asks)
				if counts := count(first); len(counts) != len(b) {
					t.Errorf("60 keys over four: %v", counts)
				}
				expectSame(t, "the same once more", first, p.homes(all, by.asks))
				p.reload(site)
				expectSame(t, "after a reload", first, p.homes(all, by.asks))
				p.reload(policy(addrs(reversed...), name+" "+by.key, calm+"\nretries 1"))
				expectSame(t, "in another order", first, p.homes(all, by.asks))
				members.set("hashing", b...)
				p.reload(dynamic(name+" "+by.key, "shuffled hashing", calm))
				expectSame(t, "from a dynamic source", first, p.homes(all, by.asks))
			})
		}
	}
}

func TestAKeyKeepsItsPlaceInAnotherProcess(t *testing.T) {
	b := backends(t, "a", "b", "c", "d")
	site := ""
	for _, name := range hashes {
		site += "handle /" + name + " {\n" + policy(addrs(b...), name+" "+user, calm) + "\n}\n"
	}
	p := run(t, site)
	var asks []asked
	var want []string
	for _, name := range hashes {
		for _, key := range keys(50) {
			ask := asked{"/" + name, []string{"X-User", key}}
			asks = append(asks, ask)
			want = append(want, p.get(ask.Path, ask.Header...).from())
		}
	}
	for i, there := range elsewhere(t, site, asks...) {
		if there.Status != http.StatusOK || there.From != want[i] {
			t.Errorf("%v: here %s, and there %+v", asks[i], want[i], there)
		}
	}
}
