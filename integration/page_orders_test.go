package integration

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// orderOnPage posts a form of the status page as a browser does, and returns the status.
func orderOnPage(t *testing.T, p *proxy, form string) int {
	t.Helper()
	page := p.get("/status")
	token := regexp.MustCompile(`name="token" content="([^"]+)"`).FindStringSubmatch(page.body)
	cookie, _, _ := strings.Cut(page.header.Get("Set-Cookie"), ";")
	if token == nil || cookie == "" {
		t.Fatal("the page has no token or no cookie:", page)
	}
	a := p.do(http.MethodPost, "/status", form+"&token="+url.QueryEscape(token[1]),
		"Content-Type", "application/x-www-form-urlencoded", "Origin", p.url, "Cookie", cookie)
	if a.err != nil {
		t.Fatal(a.err)
	}
	return a.status
}

// inForce returns the orders in force for the address, or for the pool where that is empty.
func inForce(t *testing.T, address string) (list []string) {
	t.Helper()
	var all []struct {
		Pool, Address, State, Reason string
		Weight                       *int
		Ends                         *string
	}
	if err := json.Unmarshal(adminGet(t, "/load_balancer/orders"), &all); err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		if o.Address != address || address == "" && o.Pool != "shop" {
			continue
		}
		words := []string{o.Pool, o.State, o.Reason}
		if o.Weight != nil {
			words = append(words, "weight "+string(rune('0'+*o.Weight)))
		}
		if o.Ends != nil {
			words = append(words, "ends")
		}
		list = append(list, strings.Join(strings.Fields(strings.Join(words, " ")), " "))
	}
	return list
}

// The orders of the page are those of the admin API.
func TestStatusPageTakesOrders(t *testing.T) {
	all := backends(t, "a", "b")
	p := run(t, statusSite("", addrs(all...)))
	a, b := all[0].addr, all[1].addr
	upstream := "&upstream=" + url.QueryEscape(a)
	for _, test := range []struct{ form, address, want string }{
		{"action=drain&pool=shop&reason=disk+full&ttl=30m" + upstream, a, "shop drain disk full ends"},
		{"action=maintenance&pool=shop" + upstream, a, "shop maintenance"},
		{"action=weight&weight=3&pool=shop" + upstream, a, "shop maintenance weight 3"},
		{"action=ready&pool=shop" + upstream, a, "shop ready weight 3"},
		{"action=withdraw&pool=shop" + upstream, a, ""},
		{"action=drain&pool=shop&everywhere=yes" + upstream + "&upstream=" + url.QueryEscape(b), b, "drain"},
		{"action=withdraw" + upstream + "&upstream=" + url.QueryEscape(b), b, ""},
		{"action=pause&of=pool&pool=shop&reason=migration&ttl=5m", "", "shop paused migration ends"},
		{"action=resume&of=pool&pool=shop", "", ""},
	} {
		if status := orderOnPage(t, p, test.form); status != http.StatusSeeOther {
			t.Errorf("%s: %d", test.form, status)
		}
		if got := strings.Join(inForce(t, test.address), "; "); got != test.want {
			t.Errorf("%s: in force: %q, want %q", test.form, got, test.want)
		}
	}
	if left := inForce(t, a); left != nil {
		t.Error("left:", left)
	}
	for form, want := range map[string]int{
		"action=drain&pool=shop&upstream=10.0.0.1:1":                 http.StatusNotFound,
		"action=drain&pool=other" + upstream:                         http.StatusNotFound,
		"action=pause&of=pool&pool=other":                            http.StatusNotFound,
		"action=pause&of=pool":                                       http.StatusBadRequest,
		"action=drain&of=pool&pool=shop":                             http.StatusBadRequest,
		"action=weight&weight=1&of=pool&pool=shop":                   http.StatusBadRequest,
		"action=withdraw&pool=shop" + upstream:                       http.StatusNotFound,
		"action=drain&pool=shop&ttl=-5m" + upstream:                  http.StatusBadRequest,
		"action=weight&weight=2147483648&pool=shop" + upstream:       http.StatusBadRequest,
		"action=%3Cscript%3Ealert(1)%3C/script%3E&pool=shop&of=pool": http.StatusBadRequest,
	} {
		if status := orderOnPage(t, p, form); status != want {
			t.Errorf("%s: %d, want %d", form, status, want)
		}
	}
	if left := append(inForce(t, a), inForce(t, "")...); left != nil {
		t.Error("left:", left)
	}
	if n := logs.count("an order was given on the status page", "level", "info", "order", "drain"); n != 3 {
		t.Errorf("%d lines in the log", n)
	}
}
