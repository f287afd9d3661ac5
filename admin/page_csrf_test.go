package admin

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
)

const orderedAddress = "10.9.8.7:80"

// giveOrder gives an order, for no pool that there is.
func giveOrder(t *testing.T) {
	t.Helper()
	withoutOrders(t)
	if _, err := orders.Default.Change(t.Context(), "", orderedAddress, "", func(o *orders.Order) error {
		o.State = orders.Drain
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// posted returns the request by which the page's button withdraws the order.
func posted(edit func(r *http.Request, form url.Values)) *http.Request {
	form := url.Values{"action": {"withdraw"}, "upstream": {orderedAddress}, "token": {tokenOf("me")}}
	r := httptest.NewRequest(http.MethodPost, "http://lb.test/status", nil)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "http://lb.test")
	r.AddCookie(&http.Cookie{Name: visitorCookie, Value: "me"})
	if edit != nil {
		edit(r, form)
	}
	body := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form.Encode()))
	r.Body, r.ContentLength = body.Body, body.ContentLength
	return r
}

func TestOrdersComeFromThePageItself(t *testing.T) {
	giveOrder(t)
	page := newPage(true)
	for name, edit := range map[string]func(*http.Request, url.Values){
		"another origin":  func(r *http.Request, _ url.Values) { r.Header.Set("Origin", "http://evil.test") },
		"another port":    func(r *http.Request, _ url.Values) { r.Header.Set("Origin", "http://lb.test:81") },
		"origin null":     func(r *http.Request, _ url.Values) { r.Header.Set("Origin", "null") },
		"no origin":       func(r *http.Request, _ url.Values) { r.Header.Del("Origin") },
		"cross-site":      func(r *http.Request, _ url.Values) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"same-site":       func(r *http.Request, _ url.Values) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"no token":        func(_ *http.Request, form url.Values) { form.Del("token") },
		"another's token": func(_ *http.Request, form url.Values) { form.Set("token", tokenOf("you")) },
		"no cookie":       func(r *http.Request, _ url.Values) { r.Header.Del("Cookie") },
		"an empty cookie": func(r *http.Request, _ url.Values) { r.Header.Set("Cookie", visitorCookie+"=") },
		"a token in the address": func(r *http.Request, form url.Values) {
			r.URL.RawQuery = "token=" + form.Get("token")
			form.Del("token")
		},
	} {
		w := askPage(page, posted(edit))
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "Not done: ") {
			t.Errorf("%s: %d", name, w.Code)
		}
		if orders.Default.Tag("", orderedAddress) == orders.Default.Tag("", "10.0.0.0:1") {
			t.Fatalf("%s: the order is withdrawn", name)
		}
	}
	for name, edit := range map[string]func(*http.Request, url.Values){
		"JSON":          func(r *http.Request, _ url.Values) { r.Header.Set("Content-Type", "application/json") },
		"text":          func(r *http.Request, _ url.Values) { r.Header.Set("Content-Type", "text/plain") },
		"unknown order": func(_ *http.Request, form url.Values) { form.Set("action", "explode") },
		"no upstream":   func(_ *http.Request, form url.Values) { form.Del("upstream") },
		"a bad weight":  func(_ *http.Request, form url.Values) { form.Set("action", "weight"); form.Set("weight", "-1") },
		"a word":        func(_ *http.Request, form url.Values) { form.Set("action", "weight"); form.Set("weight", "much") },
		"no weight":     func(_ *http.Request, form url.Values) { form.Set("action", "weight") },
		"a bad ttl":     func(_ *http.Request, form url.Values) { form.Set("action", "drain"); form.Set("ttl", "soon") },
		"a long reason": func(_ *http.Request, form url.Values) {
			form.Set("action", "drain")
			form.Set("reason", strings.Repeat("x", 1001))
		},
		"a pool's order": func(_ *http.Request, form url.Values) { form.Set("action", "pause") },
	} {
		if w := askPage(page, posted(edit)); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	if w := askPage(page, posted(func(_ *http.Request, form url.Values) { form.Set("reason", strings.Repeat("x", maxBody)) })); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a body too large: %d", w.Code)
	}
	if w := askPage(page, posted(func(_ *http.Request, form url.Values) { form.Set("upstream", "10.0.0.1:1") })); w.Code != http.StatusNotFound {
		t.Errorf("an upstream that no pool has: %d", w.Code)
	}
	if w := askPage(newPage(false), posted(nil)); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("a page that takes no orders: %d", w.Code)
	}

	w := askPage(page, posted(nil))
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "?done=withdraw" || len(orders.Default.List()) != 0 {
		t.Errorf("the page's own order: %d to %q, in force: %v", w.Code, w.Header().Get("Location"), orders.Default.List())
	}
	if w := askPage(page, posted(nil)); w.Code != http.StatusNotFound {
		t.Errorf("withdrawn once more: %d", w.Code)
	}
}

// A browser that says same-origin is believed, whatever a proxy in front has made of Host.
func TestOrdersByWayOfAProxy(t *testing.T) {
	giveOrder(t)
	w := askPage(newPage(true), posted(func(r *http.Request, _ url.Values) {
		r.Header.Set("Origin", "https://outside.test")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}))
	if w.Code != http.StatusSeeOther {
		t.Error(w.Code, w.Body)
	}
}

// The cookie is none that other sites' requests carry, nor one that scripts read, and
// the token of the page is its.
func TestPageGivesTheTokenOfItsCookie(t *testing.T) {
	page := newPage(true)
	w := askPage(page, httptest.NewRequest(http.MethodGet, "https://lb.test/status", nil))
	cookies := w.Result().Cookies()
	if len(cookies) != 1 || cookies[0].SameSite != http.SameSiteStrictMode || !cookies[0].HttpOnly || !cookies[0].Secure {
		t.Fatal(cookies)
	}
	if !strings.Contains(w.Body.String(), tokenOf(cookies[0].Value)) {
		t.Error("the page lacks its token")
	}
	r := httptest.NewRequest(http.MethodGet, "http://lb.test/status", nil)
	r.AddCookie(cookies[0])
	if w := askPage(page, r); len(w.Result().Cookies()) != 0 || !strings.Contains(w.Body.String(), tokenOf(cookies[0].Value)) {
		t.Error("the second visit has another token")
	}
}
