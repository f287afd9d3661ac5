package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/caddy-evenkeel/evenkeel/roster"
)

// rostered is a handler over the members of a roster.
func rostered(name, members, policy string, directives ...string) string {
	block := ""
	if members != "" {
		block = " {\n " + members + "\n }"
	}
	return fmt.Sprintf("reverse_proxy {\n dynamic roster %s%s\n lb_policy %s\n %s\n}", name, block, policy, strings.Join(directives, "\n"))
}

func member(b *backend, weight ...any) string {
	return fmt.Sprintln(append([]any{"member", b.addr}, weight...)...)
}

// adminDo asks the admin API, and returns the status, the body and the ETag.
func adminDo(t *testing.T, method, path, body string, header ...string) (status int, text, etag string) {
	t.Helper()
	ask := func() error {
		req, err := http.NewRequest(method, "http://"+adminAddr+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		read, err := io.ReadAll(res.Body)
		status, text, etag = res.StatusCode, string(read), res.Header.Get("ETag")
		return err
	}
	err := ask()
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) {
		err = ask()
	}
	if err != nil {
		t.Fatal(err)
	}
	return status, text, etag
}

func memberPath(name string, b *backend) string {
	return "/load_balancer/rosters/" + name + "/members/" + url.PathEscape(b.addr)
}

// change changes a member, which must succeed with the status.
func change(t *testing.T, want int, method, name string, b *backend, body string) {
	t.Helper()
	if status, text, _ := adminDo(t, method, memberPath(name, b), body); status != want {
		t.Fatalf("%s of %s: %d %s, want %d", method, b.name, status, text, want)
	}
}

func rosterView(t *testing.T, name string) (v roster.View) {
	t.Helper()
	text := adminGet(t, "/load_balancer/rosters/"+name)
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

func TestRosterMembersComeAndGoAndAreWeighted(t *testing.T) {
	b := backends(t, "a", "b", "c")
	p := run(t, rostered("comings", member(b[0], 2)+member(b[1]), "smooth_weighted_round_robin"))
	expect := func(when string, n int, want map[string]int) {
		t.Helper()
		if got := p.shares(n); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	expect("as configured", 30, map[string]int{"a": 20, "b": 10})
	change(t, http.StatusCreated, http.MethodPut, "comings", b[2], `{"weight": 3}`)
	eventually(t, 3*time.Second, "c is there", func() bool { return p.shares(6)["c"] == 3 })
	expect("c added", 30, map[string]int{"a": 10, "b": 5, "c": 15})
	change(t, http.StatusOK, http.MethodPatch, "comings", b[2], `{"weight": 1}`)
	change(t, http.StatusOK, http.MethodPatch, "comings", b[0], `{"weight": null}`)
	eventually(t, 3*time.Second, "the pool has the weights", func() bool { return maps.Equal(p.shares(4), map[string]int{"a": 2, "b": 1, "c": 1}) })
	change(t, http.StatusOK, http.MethodPatch, "comings", b[1], `{"weight": 0}`)
	eventually(t, 3*time.Second, "b drains", func() bool { return p.shares(6)["b"] == 0 })
	expect("b at 0", 30, map[string]int{"a": 20, "c": 10})
	change(t, http.StatusOK, http.MethodDelete, "comings", b[0], "")
	eventually(t, 3*time.Second, "a drains", func() bool { return p.shares(6)["a"] == 0 })
	expect("a removed", 10, map[string]int{"c": 10})
	eventually(t, 3*time.Second, "a has gone", func() bool { return len(rosterView(t, "comings").Members) == 2 })
	if v := rosterView(t, "comings"); len(v.Removed) != 1 || v.Removed[0] != b[0].addr {
		t.Errorf("%+v", v)
	}
	// All that was changed is there after a reload, whatever it was before.
	p.reload(rostered("comings", member(b[0], 2)+member(b[1]), "smooth_weighted_round_robin", "header_up X 1"))
	expect("after a reload", 10, map[string]int{"c": 10})
	change(t, http.StatusCreated, http.MethodPut, "comings", b[0], "")
	change(t, http.StatusOK, http.MethodPut, "comings", b[1], "")
	eventually(t, 3*time.Second, "all as configured", func() bool { return maps.Equal(p.shares(4), map[string]int{"a": 2, "b": 1, "c": 1}) })
	change(t, http.StatusOK, http.MethodDelete, "comings", b[2], "")
	eventually(t, 3*time.Second, "c drains", func() bool { return p.shares(6)["c"] == 0 })
	expect("c removed", 30, map[string]int{"a": 20, "b": 10})
}

func TestRosterAndTheConfigurationThatChanges(t *testing.T) {
	b := backends(t, "a", "b", "c", "d")
	site := func(of ...*backend) string {
		members := ""
		for _, m := range of {
			members += member(m)
		}
		return rostered("config", members, "smooth_weighted_round_robin")
	}
	p := run(t, site(b[0], b[1]))
	change(t, http.StatusCreated, http.MethodPut, "config", b[2], "")
	change(t, http.StatusOK, http.MethodPatch, "config", b[1], `{"weight": 5}`)
	change(t, http.StatusOK, http.MethodDelete, "config", b[0], "")
	p.reload(site(b[0], b[3])) // b is dropped, d is new
	for range 2 {
		if got, want := p.shares(10), map[string]int{"c": 5, "d": 5}; !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		p.reload(site(b[0], b[3])) // nothing changes
	}
}

func TestRosterMemberThatIsRemovedKeepsItsSocket(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a", "b")
	setAll(b, upgrade)
	site := rostered("sockets", member(b[0])+member(b[1]), "smooth_weighted_round_robin", "stream_close_delay 1m")
	p := run(t, site)
	s := p.connect("")
	home, other := b[0], b[1]
	if s.from == "b" {
		home, other = other, home
	}
	change(t, http.StatusOK, http.MethodDelete, "sockets", home, "")
	eventually(t, 3*time.Second, "it gets no new traffic", func() bool { return p.shares(10)[other.name] == 10 })
	holds(t, time.Second, "it drains while the socket is open", func() bool {
		v := rosterView(t, "sockets")
		return len(v.Members) == 2 && v.Members[1].State == "draining" && v.Members[1].InFlight == 1
	})
	var views []struct{ Address, State, Reason string }
	if err := json.Unmarshal(adminGet(t, "/load_balancer/upstreams?state=draining"), &views); err != nil || len(views) != 1 ||
		views[0].Address != home.addr || !strings.Contains(views[0].Reason, "removed from roster 'sockets'") {
		t.Errorf("%v %+v", err, views)
	}
	p.reload(strings.Replace(site, "1m", "2m", 1))
	if got := s.echo("hello"); got != "hello" {
		t.Fatal(got)
	}
	if v := rosterView(t, "sockets"); len(v.Members) != 2 {
		t.Errorf("after a reload: %+v", v)
	}
	s.Close()
	eventually(t, 5*time.Second, "it goes once the socket is closed", func() bool { return len(rosterView(t, "sockets").Members) == 1 })
	if text := string(adminGet(t, "/load_balancer/upstreams")); strings.Contains(text, home.addr) {
		t.Errorf("the pool still shows it: %s", text)
	}
}

func TestRosterThatTwoHandlersShare(t *testing.T) {
	b := backends(t, "a", "b")
	site := func(second string) string {
		return "handle /one/* {\n" + rostered("shared", member(b[0]), "smooth_weighted_round_robin") + "\n}\nhandle {\n" + second + "\n}"
	}
	p := run(t, site(rostered("shared", "", "random")))
	change(t, http.StatusCreated, http.MethodPut, "shared", b[1], "")
	change(t, http.StatusOK, http.MethodDelete, "shared", b[0], "")
	eventually(t, 3*time.Second, "a drains", func() bool { return p.get("/one/").from() == "b" })
	for range 10 {
		for _, path := range []string{"/one/", "/two/"} {
			if a := p.get(path); a.from() != "b" {
				t.Fatal(path, a)
			}
		}
	}
	err := p.tryReload(site(rostered("shared", member(b[0], 2), "random")))
	if err == nil || !strings.Contains(err.Error(), "roster 'shared': another handler gives it other members") {
		t.Error(err)
	}
	eventually(t, 3*time.Second, "the configuration that runs goes on", func() bool { return len(rosterView(t, "shared").Members) == 1 })
}

func TestRosterOfNobodyServesOnceOneIsAdded(t *testing.T) {
	if forked(t) {
		return
	}
	b := backends(t, "a")
	p := run(t, rostered("empty", "", "peak_ewma"))
	if a := p.get("/"); a.status != http.StatusServiceUnavailable {
		t.Error(a)
	}
	change(t, http.StatusCreated, http.MethodPut, "empty", b[0], "")
	p.sequence(3)
	// A member that is down is left; requests that are held go on with one that is added.
	b[0].stop()
	c := backends(t, "c")[0]
	done := make(chan answer, 1)
	go func() { done <- p.get("/") }()
	eventually(t, 2*time.Second, "the request is held", func() bool { return strings.Contains(string(adminGet(t, "/load_balancer/pools")), `"held":1`) })
	change(t, http.StatusCreated, http.MethodPut, "empty", c, "")
	if a := <-done; a.from() != "c" {
		t.Error(a)
	}
}

func TestRosterMembersAreCheckedWithoutRequests(t *testing.T) {
	b := backends(t, "a", "b")
	run(t, rostered("checked", member(b[0]), "peak_ewma {\n health_check http "+healthPath+" {\n interval 100ms\n}\n}"))
	eventually(t, 3*time.Second, "the first is probed", func() bool { return b[0].probes.Load() > 0 })
	change(t, http.StatusCreated, http.MethodPut, "checked", b[1], "")
	eventually(t, 3*time.Second, "the second is probed", func() bool { return b[1].probes.Load() > 0 })
	change(t, http.StatusOK, http.MethodDelete, "checked", b[1], "")
	eventually(t, 3*time.Second, "it is not probed any more", func() bool {
		before := b[1].probes.Load()
		return !await(400*time.Millisecond, func() bool { return b[1].probes.Load() != before })
	})
}

func TestRosterRequestsThatAreRefused(t *testing.T) {
	b := backends(t, "a", "b")
	run(t, rostered("refusals", member(b[0]), "random"))
	root := "/load_balancer/rosters"
	_, _, etag := adminDo(t, http.MethodGet, memberPath("refusals", b[0]), "")
	change(t, http.StatusCreated, http.MethodPut, "refusals", b[1], "")
	for _, test := range []struct {
		method, path, body string
		status             int
		said               string
		header             []string
	}{
		{"GET", root + "/nobody", "", 404, "there is no roster 'nobody'; there is only refusals", nil},
		{"PUT", root + "/nobody/members/10.0.0.1:80", "", 404, "there is no roster 'nobody'", nil},
		{"POST", root, "{}", 405, "allowed: GET", nil},
		{"DELETE", root + "/refusals", "", 405, "allowed: GET", nil},
		{"POST", memberPath("refusals", b[0]), "{}", 405, "allowed: DELETE, GET, PATCH, PUT", nil},
		{"GET", root + "/refusals/members/10.9.9.9:80", "", 404, "no such member", nil},
		{"DELETE", root + "/refusals/members/10.9.9.9:80", "", 404, "no such member", nil},
		{"PATCH", root + "/refusals/members/10.9.9.9:80", `{"weight": 1}`, 404, "no such member", nil},
		{"PATCH", memberPath("refusals", b[0]), `{}`, 400, "the body changes nothing; there is weight", nil},
		{"PATCH", memberPath("refusals", b[0]), `{"weight": -1}`, 400, "weight: -1 is not between 0 and 2147483647", nil},
		{"PUT", memberPath("refusals", b[0]), `{"weight": 1.5}`, 400, "weight: 1.5 is not an integer", nil},
		{"PUT", memberPath("refusals", b[0]), `{"wait": 1}`, 400, "unknown field", nil},
		{"PUT", memberPath("refusals", b[0]), `{"weight": 1}`, 400, "content type", []string{"Content-Type", "text/plain"}},
		{"PUT", memberPath("refusals", b[0]), strings.Repeat(" ", 70_000) + "{}", 413, "more than 65536 bytes", nil},
		{"PUT", memberPath("refusals", b[0]), "{}", 412, "changed meanwhile", []string{"If-Match", etag}},
		{"PUT", memberPath("refusals", b[0]), "{}", 400, "is not an ETag", []string{"If-Match", "x"}},
		{"PUT", root + "/refusals/members/" + url.PathEscape("https://h"), "", 400, "a dynamic upstream has no scheme; write h:443", nil},
		{"PUT", root + "/refusals/members/h:80-82", "", 400, "stands for 3 upstreams", nil},
		{"PUT", root + "/refusals/members/h:99999", "", 400, "h:99999", nil},
		{"PUT", root + "/refusals/members/" + url.PathEscape("10.0.0.0/8"), "", 400, "is a range of addresses", nil},
		{"PUT", root + "/refusals/members/" + url.PathEscape("{http.request.host}:80"), "", 400, "no placeholders", nil},
		{"PUT", root + "/refusals/members/a..b:80", "", 400, "two dots", nil},
		{"GET", root + "/refusals/member/a", "", 404, "there are upstreams, pools, rosters", nil},
	} {
		status, text, _ := adminDo(t, test.method, test.path, test.body, test.header...)
		if status != test.status || !strings.Contains(text, test.said) {
			t.Errorf("%s %s: %d %s\nwant %d %s", test.method, test.path, status, text, test.status, test.said)
		}
	}
	for upstream, dial := range map[string]string{"unix//run/a.sock": "unix//run/a.sock", "h": "h:80", "[::1]:81": "[::1]:81"} {
		path := root + "/refusals/members/" + url.PathEscape(upstream)
		if status, text, _ := adminDo(t, http.MethodPut, path, ""); status != http.StatusCreated || !strings.Contains(text, dial) {
			t.Errorf("%s: %d %s", upstream, status, text)
		}
		if status, text, _ := adminDo(t, http.MethodDelete, path, ""); status != http.StatusOK {
			t.Errorf("%s: %d %s", upstream, status, text)
		}
	}
}
