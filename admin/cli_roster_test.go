package admin

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// What is added to a roster, or removed from it, is said; a removal can be waited for.
func TestMembersOfRosters(t *testing.T) {
	left := 2 // looks until the member has left
	var asked []string
	address := served(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, r.Method+" "+r.URL.EscapedPath()+" "+string(body))
		switch {
		case r.Method == http.MethodGet && left == 0:
			answering(404, `{"error":"the roster has no such member"}`)(w, r)
			return
		case r.Method == http.MethodGet:
			left--
		}
		state := map[string]string{http.MethodPut: "serving"}[r.Method]
		if state == "" {
			state = "draining"
		}
		answering(200, `{"address":"10.0.0.3:80","state":"`+state+`","weight":2,"in_flight":1}`)(w, r)
	})
	for _, c := range []struct {
		args          []string
		code          int
		says, request string
	}{
		{[]string{"add", "app", "10.0.0.3:80", "--weight", "2"}, 0, "10.0.0.3:80 in app: serving, weight 2", `PUT /load_balancer/rosters/app/members/10.0.0.3:80 {"weight":2}`},
		{[]string{"add", "app", "10.0.0.3:80"}, 0, "serving", `PUT /load_balancer/rosters/app/members/10.0.0.3:80 {}`},
		{[]string{"remove", "app", "10.0.0.3:80"}, 0, "draining, weight 2; in flight: 1", "DELETE /load_balancer/rosters/app/members/10.0.0.3:80 "},
		{[]string{"remove", "app", "10.0.0.3:80", "--wait"}, 0, "it has left app", "GET /load_balancer/rosters/app/members/10.0.0.3:80 "},
		{[]string{"add", "app", "10.0.0.3:80", "--weight", "-1"}, exitUsage, "--weight: -1 is not between 0 and", ""},
		{[]string{"remove", "app", "10.0.0.3:80", "--timeout", "1s"}, exitUsage, "without --wait", ""},
		{[]string{"remove", "app"}, exitUsage, "1 arguments", ""},
	} {
		asked = nil
		r := execute(t, append([]string{"lb", "--address", address}, c.args...)...)
		if r.code != c.code || !strings.Contains(r.stdout+r.stderr, c.says) {
			t.Errorf("%v exits with %d: %s%s", c.args, r.code, r.stdout, r.stderr)
		}
		if last := strings.Join(asked[max(len(asked)-1, 0):], ""); last != c.request {
			t.Errorf("%v asks for %q, not %q", c.args, last, c.request)
		}
	}
}
