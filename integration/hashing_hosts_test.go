package integration

import (
	"fmt"
	"strings"
	"testing"
)

// hosts starts backends on hosts of their own.
func hosts(t *testing.T, names ...string) (all []*backend) {
	t.Helper()
	for n, name := range names {
		all = append(all, startOn(t, name, fmt.Sprint("127.0.0.", n+1), ""))
	}
	return all
}

// TestPlacesByHost has places that never change, for proxies of all versions have
// to agree.
func TestPlacesByHost(t *testing.T) {
	b := hosts(t, "a", "b", "c", "d")
	for name, want := range map[string]string{
		"maglev":     "cdcccdacbdbbbadaacadadbbddacdadbcbbabcdd",
		"rendezvous": "baacdbcacacabadabcadbbcacdcbbdcadcbbcabc",
		"ring_hash":  "dcdddbadbbcaccdccabccbbdcbadcacacaadcccb",
	} {
		t.Run(name, func(t *testing.T) {
			site := func(b []*backend) string { return policy(addrs(b...), name+" "+user, calm+"\nhash_by host") }
			p := run(t, site(b))
			all := keys(200)
			first := p.homes(all, byUser)
			var got strings.Builder
			for _, key := range all[:40] {
				got.WriteString(first[key])
			}
			if got.String() != want {
				t.Errorf("keys 0 to 39 are with %s, want %s", &got, want)
			}
			others := hosts(t, "a", "b", "c", "d") // on other ports
			p.reload(site(others))
			expectSame(t, "on other ports", first, p.homes(all, byUser))
			p.reload(site([]*backend{others[3], b[1], others[0], b[2]}))
			expectSame(t, "on some others, in another order", first, p.homes(all, byUser))
			// By address they would have.
			p.reload(strings.Replace(site(others), "hash_by host", "hash_by address", 1))
			if m := moves(first, p.homes(all, byUser)); len(m) == 0 {
				t.Error("by address, nothing has moved")
			}
		})
	}
}

func TestBlueGreenByWeights(t *testing.T) {
	b := hosts(t, "blue 1", "blue 2", "green 1", "green 2")
	blue, green := addrs(b[:2]...), addrs(b[2:]...)
	for name, most := range map[string]int{"maglev": 20, "rendezvous": 0, "ring_hash": 0} {
		t.Run(name, func(t *testing.T) {
			site := func(percent int) string {
				return policy(blue+" "+green, name+" "+user, fmt.Sprintf(
					calm+"\nhash_by host\nweight %d %s\nweight %d %s", 100-percent, blue, percent, green))
			}
			var p *proxy
			var before map[string]string
			all := keys(400)
			for _, percent := range []int{0, 5, 25, 50, 100} {
				if p == nil {
					p = run(t, site(percent))
				} else {
					p.reload(site(percent))
				}
				now := p.homes(all, byUser)
				got, back := 0, 0
				for key, home := range now {
					if strings.HasPrefix(home, "green") {
						got++
					} else if strings.HasPrefix(before[key], "green") {
						back++
					}
				}
				t.Logf("%d%%: %d of 400 keys are with green, %d have gone back; moved: %v", percent, got, back, moves(before, now))
				if want := 4 * percent; got < want-24 || got > want+24 || percent == 100 && got != 400 {
					t.Errorf("%d%%: %d of 400 keys are with green", percent, got)
				}
				if back > most {
					t.Errorf("%d%%: %d keys have gone back to blue", percent, back)
				}
				before = now
			}
		})
	}
}
