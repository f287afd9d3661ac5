package selectors

import (
	"net/http"
	"slices"
	"testing"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// sees has an upstream note the header of what it is sent.
func sees(address string, got *http.Header, does pooltest.Act) {
	pooltest.Script(address, func(r *http.Request) (*http.Response, error) {
		*got = r.Header.Clone()
		return does(r)
	})
}

// The upstream is not sent what is ours, and gets all else byte for byte.
func TestOurCookieAndHeaderAreNotSentOn(t *testing.T) {
	for name, test := range map[string]struct{ sent, want []string }{
		"alone":                   {[]string{"lb=x"}, nil},
		"none":                    {[]string{" a=1 ;b= \"2 3\";c"}, []string{" a=1 ;b= \"2 3\";c"}},
		"first":                   {[]string{"lb=x; a=1;b=2"}, []string{"a=1;b=2"}},
		"in the middle":           {[]string{"a=1;  lb=x;  b=\"2\""}, []string{"a=1;  b=\"2\""}},
		"last":                    {[]string{"a=1; b=2; lb=x"}, []string{"a=1; b=2"}},
		"twice":                   {[]string{"lb=x; a=1; lb=y"}, []string{"a=1"}},
		"in lines":                {[]string{"a=1", "lb=x", "b=2; lb=z"}, []string{"a=1", "b=2"}},
		"empty":                   {[]string{"a=1; lb="}, []string{"a=1"}},
		"names that are like it":  {[]string{"lbs=1; LB=2; xlb=3; lb"}, []string{"lbs=1; LB=2; xlb=3; lb"}},
		"a value that is like it": {[]string{"a=lb=x; lb=a=x; b=lb"}, []string{"a=lb=x; b=lb"}},
		"odd ones beside it":      {[]string{";;a==1; ;lb=x;\tb;"}, []string{";;a==1; ;\tb;"}},
	} {
		alone(t, name, func(t *testing.T) {
			for _, keep := range []bool{false, true} {
				h := pooltest.NewScripted(t, sticky(object{"cookie": "lb", "header": field, "keep": keep}), 1)
				var got http.Header
				sees(pooltest.Dial(0), &got, pooltest.Answer(http.StatusOK))
				b := newBrowser()
				b.token = "theirs"
				b.visit(t, h, func(r *http.Request) { r.Header["Cookie"] = slices.Clone(test.sent) })
				want, token := test.want, ""
				if keep {
					want, token = test.sent, "theirs"
				}
				if !slices.Equal(got["Cookie"], want) || got.Get(field) != token {
					t.Errorf("keep %t: sent %q and %q, want %q and %q", keep, got["Cookie"], got.Get(field), want, token)
				}
			}
		})
	}
}

// The application's own cookies are sent on: those learned, and those that end in
// the name of a route.
func TestTheApplicationsCookiesAreSentOn(t *testing.T) {
	for name, options := range map[string]object{
		"learned": {"learn": []string{"SID"}},
		"routed":  {"cookie": "SID", "route": object{"r0": pooltest.Dial(0)}},
	} {
		alone(t, name, func(t *testing.T) {
			if options["route"] != nil {
				options = object{"cookie": "SID", "route": object{"r0": pooltest.Dial(0)}}
			}
			h := pooltest.NewScripted(t, sticky(options), 1)
			var got http.Header
			sees(pooltest.Dial(0), &got, pooltest.Answer(http.StatusOK))
			newBrowser("SID", "7.r0", "a", "1").visit(t, h)
			if text := got.Get("Cookie"); text != "SID=7.r0; a=1" {
				t.Errorf("sent %q", text)
			}
		})
	}
}

// On a retry the session is known all the same, though the first attempt was sent
// without its cookie, and so is the second.
func TestRetriesAreSentWithoutOurCookie(t *testing.T) {
	for name, ops := range map[string]object{"plain": nil, "with header operations": {"headers": object{"request": object{"set": object{"X-A": []string{"b"}}}}}} {
		alone(t, name, func(t *testing.T) {
			config := object{
				"load_balancing": object{"selection_policy": sticky(object{"strict": true, "retries": 3})},
				"transport":      object{"protocol": "scripted"},
				"upstreams":      pooltest.Dials(3),
			}
			pooltest.NewScripted(t, sticky(), 0) // clears the stage afterwards
			h := pooltest.LoadHandler(t, pooltest.With(config, ops))
			b := settled(t, h, pooltest.Dial(1))
			b.cookies["a"] = "1"
			var got []http.Header
			pooltest.Script(pooltest.Dial(1), func(r *http.Request) (*http.Response, error) {
				got = append(got, r.Header.Clone())
				if len(got) < 3 {
					return pooltest.Refuse(r)
				}
				return pooltest.Answer(http.StatusOK)(r)
			})
			if by := b.visit(t, h).by; by != pooltest.Dial(1) || len(got) != 3 {
				t.Fatalf("%s answered after %d attempts", by, len(got))
			}
			for _, header := range got {
				if text := header.Get("Cookie"); text != "a=1" {
					t.Errorf("sent %q", text)
				}
			}
		})
	}
}

// A response that tells one client where its session is must not be kept for
// others.
func TestResponseThatSetsOurCookieIsPrivate(t *testing.T) {
	for name, test := range map[string]struct {
		does    pooltest.Act
		options object
		site    string // what the site has set before
		want    []string
	}{
		"says nothing":        {pooltest.Answer(200), nil, "", []string{"private"}},
		"says something":      {pooltest.Answer(200, "Cache-Control", "no-store"), nil, "", []string{"no-store"}},
		"says that it may be": {pooltest.Answer(200, "Cache-Control", "public, max-age=60"), nil, "", []string{"public, max-age=60"}},
		"an error":            {pooltest.Answer(404), nil, "", []string{"private"}},
		"the site says so":    {pooltest.Answer(200), nil, "max-age=5", []string{"max-age=5"}},
		"cacheable":           {pooltest.Answer(200), object{"cacheable": true}, "", nil},
		"cacheable, says so":  {pooltest.Answer(200, "Cache-Control", "public"), object{"cacheable": true}, "", []string{"public"}},
	} {
		alone(t, name, func(t *testing.T) {
			h := pooltest.NewScripted(t, sticky(test.options), 2)
			for i := range 2 {
				pooltest.Script(pooltest.Dial(i), test.does)
			}
			b := newBrowser()
			expect := func(when string, want []string) {
				t.Helper()
				got := b.visitWith(t, h, func(header http.Header) {
					if test.site != "" {
						header.Set("Cache-Control", test.site)
					}
				})
				if !slices.Equal(got.header["Cache-Control"], want) {
					t.Errorf("%s: %q, want %q", when, got.header["Cache-Control"], want)
				}
			}
			expect("sets it", test.want)
			if test.want != nil && test.want[0] == "private" {
				test.want = nil
			}
			expect("does not", test.want)
		})
	}
}
