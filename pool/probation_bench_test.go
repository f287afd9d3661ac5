package pool

import (
	"fmt"
	"testing"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

// Picks while a part of the upstreams is on probation, each with its one request:
// hung, say.
func BenchmarkPickBesideBusyProbations(b *testing.B) {
	for _, n := range []int{4, 128, 4096} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			network++
			p := reloaded(b, Options{}, 2*n)
			for _, m := range p.static.members[n:] {
				m.host.Eject(0, outlier.Finding{Rule: outlier.ByLocal}, 0)
				m.host.Claim(instant.Now(), true)
			}
			p.building.Lock()
			p.build(p.static)
			p.building.Unlock()
			r := get()
			r.URL.Host = ""
			b.ResetTimer()
			for b.Loop() {
				if p.handle.Select(p.statics, r, nil) == nil {
					b.Fatal("nothing picked")
				}
			}
		})
	}
}
