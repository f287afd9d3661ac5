package integration

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// compare makes the same exchange through a handler with Caddy's own policy
// and through handlers with ours, over the same upstream and with the same
// directives besides. What each returns must be the same, and contain want.
// Ours have a check, which must pass before they send anything.
func compare(t *testing.T, upstream, directives, want string, exchange func(t *testing.T, p *proxy, prefix string) string) {
	t.Helper()
	// The names are of one length, for lengths are compared, too.
	prefixes := []string{"/them", "/ours", "/last", "/into"}
	options := map[string]string{
		"/them": "random",
		"/ours": "peak_ewma {\n " + checking + "\n}",
		"/last": "peak_ewma {\n measure last_byte\n " + checking + "\n}",
		"/into": "managed random {\n " + checking + "\n}",
	}
	site := ""
	for _, prefix := range prefixes {
		site += fmt.Sprintf("handle_path %s/* {\n reverse_proxy %s {\n lb_policy %s\n %s\n}\n}\n",
			prefix, upstream, options[prefix], directives)
	}
	p := run(t, site, "servers {\n protocols h1 h2 h2c\n}")
	var theirs string
	for _, prefix := range prefixes {
		eventually(t, 5*time.Second, prefix+": the check passes", func() bool {
			return p.get(prefix+healthPath).status != http.StatusServiceUnavailable
		})
		// Twice, for a connection that is there already may matter.
		result := exchange(t, p, prefix) + "\n" + exchange(t, p, prefix)
		result = strings.ReplaceAll(result, prefix+"/", "/")
		if theirs == "" {
			theirs = result
			if !strings.Contains(result, want) {
				t.Fatalf("without the plugin, got:\n%s\nwithout:\n%s", result, want)
			}
		}
		if result != theirs {
			t.Errorf("%s differs: %s", prefix, difference(theirs, result))
		}
	}
	if n := logs.count("upstream is unhealthy"); n != 0 {
		t.Error("a check has failed")
	}
}

// difference returns where two texts begin to differ.
func difference(want, got string) string {
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(wants), len(gots)) {
		if wants[i] != gots[i] {
			return fmt.Sprintf("line %d is %.300q, want %.300q", i+1, gots[i], wants[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(gots), len(wants))
}

// describe returns everything about a response, but for what differs anyway.
func describe(res *http.Response, err error) string {
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	text := fmt.Sprintf("%s %s, length %d, transfer %v, error %v\n",
		res.Proto, res.Status, res.ContentLength, res.TransferEncoding, err)
	text += describeHeader("", res.Header)
	if len(body) > 2000 {
		body = fmt.Appendf(nil, "%d bytes", len(body))
	}
	text += fmt.Sprintf("body %s\n", body)
	return text + describeHeader("trailer ", res.Trailer)
}

func describeHeader(prefix string, header http.Header) string {
	var lines []string
	for key, values := range header {
		if key != "Date" {
			lines = append(lines, prefix+key+": "+strings.Join(values, " | ")+"\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// method is an exchange that makes one request.
func method(method, path, body string, header ...string) func(*testing.T, *proxy, string) string {
	return func(t *testing.T, p *proxy, prefix string) string {
		t.Helper()
		var content io.Reader
		if body != "" {
			content = strings.NewReader(body)
		}
		req, err := http.NewRequest(method, p.url+prefix+path, content)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		return describe(p.client.Do(req))
	}
}

// mirror answers with what it was asked, but for what differs anyway.
func mirror(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if len(body) > 2000 {
		body = fmt.Appendf(nil, "%d bytes", len(body))
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	fmt.Fprintf(w, "%s %s %s host %s from %s\n", r.Method, r.URL, r.Proto, r.Host, host)
	fmt.Fprintf(w, "length %d, transfer %v, error %v\n%s%s\n", r.ContentLength, r.TransferEncoding, err,
		describeHeader("asked ", r.Header), body)
	io.WriteString(w, describeHeader("asked trailer ", r.Trailer))
}
