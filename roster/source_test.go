package roster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

func TestConfigurationsThatAreRejected(t *testing.T) {
	for _, test := range []struct {
		source pooltest.Object
		want   string
	}{
		{pooltest.Object{"name": "a/b"}, "roster: 'a/b' has other characters"},
		{pooltest.Object{"members": []any{pooltest.Object{"dial": ""}}}, "roster 'default': member empty upstream"},
		{pooltest.Object{"members": []any{pooltest.Object{"dial": "h:80-81"}}}, "stands for 2 sockets"},
		{pooltest.Object{"members": []any{pooltest.Object{"dial": "h/p:80"}}}, "'h' is no network"},
		{pooltest.Object{"members": []any{pooltest.Object{"dial": "h:80", "weight": -1}}}, "'h:80': weight -1 is not between 0"},
		{pooltest.Object{"members": []any{pooltest.Object{"dial": "h:80"}, pooltest.Object{"dial": "h:80"}}}, "duplicate member 'h:80'"},
		{pooltest.Object{"member": 1}, "unknown field"},
	} {
		_, err := pooltest.TryHandler(t, pooltest.Object{"dynamic_upstreams": pooltest.With(test.source, pooltest.Object{"source": "roster"})})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %s", test.source, err, test.want)
		}
	}
}

// Caddy fills in each upstream for each request: no two requests may share one.
func TestEachRequestGetsUpstreamsOfItsOwn(t *testing.T) {
	i := newInstance(t, storageIn(t), of("a:80", "b:80")...)
	s := &Source{roster: i.Roster}
	i.remove("b:80")
	one, _ := s.GetUpstreams(nil)
	end := s.Follow(func() {}, func(string) int { return 1 })
	two, _ := s.GetUpstreams(nil)
	if len(one) != 1 || len(two) != 2 || one[0] == two[0] || one[0].Dial != "a:80" || two[1].Dial != "b:80" {
		t.Errorf("%v, and %v for one that follows", one, two)
	}
	if e := s.Ordered("b:80"); e.State != orders.Drain {
		t.Errorf("%+v", e)
	}
	end()
	if again, _ := s.GetUpstreams(nil); len(again) != 1 {
		t.Errorf("%v once nothing follows", again)
	}
}

func BenchmarkGetUpstreams(b *testing.B) {
	for _, n := range []int{4, 128, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := new(Roster)
			l := &list{index: make(map[string]int)}
			for i := range n {
				l.add(entry{address: fmt.Sprintf("10.0.%d.%d:80", i>>8, i&0xff)}, nil)
			}
			l.serving = n
			r.list.Store(l)
			s := &Source{roster: r}
			b.ReportAllocs()
			for b.Loop() {
				if all, err := s.GetUpstreams(nil); len(all) != n || err != nil {
					b.Fatal(len(all), err)
				}
			}
		})
	}
}
