package integration

import "testing"

func TestSessionsByHeader(t *testing.T) {
	b := backends(t, "a", "b", "c")
	p := run(t, sticky(b, "header x-session", patient()))
	c := newAudience(t, p, byHeader)
	c.join(200)
	if a := p.get("/"); len(a.header.Values("Set-Cookie")) > 0 {
		t.Errorf("a cookie is set, too: %v", a.header)
	}
	p.reload(sticky(b, "header X-Session", "weight 0 "+b[2].addr, patient()))
	there := with("c", c.all)
	c.visit("c is drained", came{stayed: 200})
	b[2].stop()
	c.visit("c is dead", came{stayed: 200 - there, moved: there})
	c.visit("and once more", came{stayed: 200})
}

func TestSessionsByHeaderOrCookie(t *testing.T) {
	b := backends(t, "a", "b", "c")
	p := run(t, policy(addrs(b...), "sticky lb", calm+"\nheader X-Session"))
	for _, m := range []manner{byCookie, byHeader} {
		c := newAudience(t, p, m)
		c.join(50)
		c.visit("by "+m.sent, came{stayed: 50})
	}
}
