package pool

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/caddy-evenkeel/evenkeel/internal/instant"
	"github.com/caddy-evenkeel/evenkeel/outlier"
)

var errRefused = reverseproxy.NewDialError(errors.New("connection refused"))

// refuses is an upstream that nobody reaches.
func refuses(*http.Request) (*http.Response, error) { return nil, errRefused }

// says is an upstream that answers with the given status.
func says(status int) answers {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: make(http.Header), Body: io.NopCloser(strings.NewReader("body"))}, nil
	}
}

// serve has n attempts made on the i-th upstream, one after the other, to the end.
func (b *testPool) serve(i, n int, by answers) {
	for range n {
		if res, err := b.send(get(), i, by); err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}
}

// phases says where the upstreams are: s is serving, e ejected, p on probation.
func (b *testPool) phases() string {
	synctest.Wait()
	var all strings.Builder
	for _, m := range b.static.members {
		all.WriteByte("sep"[m.host.State(instant.Now(), m.connects).Phase])
	}
	return all.String()
}

func (b *testPool) expect(t *testing.T, when, want string) {
	t.Helper()
	if got := b.phases(); got != want {
		t.Errorf("%s: %s, want %s", when, got, want)
	}
}

func only(o outlier.Options) Options { return Options{OutlierDetection: &o} }

func ptr[T any](v T) *T { return &v }

func TestFailuresInARowEject(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		way     answers
		times   int
	}{
		"by default, no answer":      {Options{}, refuses, 5},
		"named, no answer":           {only(outlier.Options{}), refuses, 5},
		"named, 500":                 {only(outlier.Options{}), says(500), 5},
		"named, 503":                 {only(outlier.Options{}), says(503), 5},
		"own count of no answer":     {only(outlier.Options{ConsecutiveLocalOriginFailures: ptr(2)}), refuses, 2},
		"own count of failures":      {only(outlier.Options{Consecutive5xx: ptr(3)}), says(501), 3},
		"own count of gateway":       {only(outlier.Options{ConsecutiveGatewayFailures: ptr(1)}), says(502), 1},
		"own list":                   {only(outlier.Options{Status: []string{"404"}}), says(404), 5},
		"own list, gateway all same": {only(outlier.Options{Status: []string{"404"}}), says(504), 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newPool(t, test.options, 3)
				b.serve(1, test.times-1, test.way)
				b.serve(1, 1, says(200))
				b.serve(1, test.times-1, test.way)
				b.expect(t, "one failure is missing", "sss")
				b.serve(1, 1, test.way)
				b.expect(t, "failures are enough", "ses")
				if n := b.logs.FilterMessage("upstream is ejected").Len(); n != 1 {
					t.Errorf("logged %d times", n)
				}
			})
		})
	}
}

func TestWhatDoesNotEject(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		way     answers
	}{
		"by default, 503":  {Options{}, says(503)},
		"off":              {only(outlier.Options{Off: true}), refuses},
		"the rule is off":  {only(outlier.Options{ConsecutiveLocalOriginFailures: ptr(0)}), refuses},
		"not in own list":  {only(outlier.Options{Status: []string{"404"}}), says(500)},
		"404 by default":   {only(outlier.Options{}), says(404)},
		"good answers":     {only(outlier.Options{Consecutive5xx: ptr(1)}), says(200)},
		"too few in share": {only(outlier.Options{Consecutive5xx: ptr(0)}), says(500)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newPool(t, test.options, 3)
				b.serve(1, 20, test.way)
				b.expect(t, "all are well", "sss")
				time.Sleep(time.Minute)
				b.expect(t, "a minute later", "sss")
			})
		})
	}
}

func TestLastOneThatMayBePickedIsNotEjected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{}, 3)
		for i := range 3 {
			b.serve(i, 50, refuses)
		}
		b.expect(t, "all fail", "ees")
		time.Sleep(30 * time.Second)
		b.expect(t, "the others are on probation", "pps")
		b.serve(2, 50, refuses)
		b.expect(t, "on probation they are no others", "pps")
		b.serve(0, 1, says(200))
		b.serve(2, 5, refuses)
		b.expect(t, "there is another", "spe")
	})
}

func TestWhoTakesNothingIsNoOtherUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := only(outlier.Options{MaxEjectionPercent: ptr(50.0)})
		o.Weights = map[string]int{host(network+1, 4) + "/30": 0}
		b := newPool(t, o, 8)
		b.serve(0, 5, says(500))
		b.serve(1, 5, says(500))
		b.serve(2, 5, says(500))
		b.expect(t, "half of those that take something", "eessssss")
		b.serve(2, 5, refuses)
		b.serve(3, 50, refuses)
		b.expect(t, "the others have weight 0", "eeesssss")
	})
}

func TestShareOfEjections(t *testing.T) {
	for name, test := range map[string]struct {
		options   outlier.Options
		upstreams int
		way       answers
		want      int
	}{
		"a tenth":                 {outlier.Options{}, 30, says(502), 3},
		"a tenth, rounded down":   {outlier.Options{}, 39, says(500), 3},
		"one is allowed":          {outlier.Options{}, 5, says(500), 1},
		"one, where none is":      {outlier.Options{MaxEjectionPercent: ptr(0.0)}, 5, says(500), 1},
		"half":                    {outlier.Options{MaxEjectionPercent: ptr(50.0)}, 10, says(500), 5},
		"all but one":             {outlier.Options{MaxEjectionPercent: ptr(100.0)}, 10, says(500), 9},
		"no answer: no share":     {outlier.Options{}, 10, refuses, 9},
		"29 percent of a hundred": {outlier.Options{MaxEjectionPercent: ptr(29.0)}, 100, says(500), 29},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newPool(t, only(test.options), test.upstreams)
				for i := range test.upstreams {
					b.serve(i, 10, test.way)
				}
				if got := strings.Count(b.phases(), "e"); got != test.want {
					t.Errorf("%d of %d are ejected, want %d", got, test.upstreams, test.want)
				}
			})
		})
	}
}

// Ejections for no answer take nothing from the share of the others, which an
// upstream gives back only with its first success.
func TestShareIsHeldUntilTheFirstSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, only(outlier.Options{}), 6)
		b.serve(0, 5, refuses)
		b.serve(1, 5, says(500))
		b.serve(2, 5, says(500))
		b.expect(t, "one of them may be out", "eessss")
		b.serve(3, 5, refuses)
		b.expect(t, "for no answer, another may", "eesess")
		time.Sleep(30 * time.Second)
		b.serve(2, 5, says(500))
		b.expect(t, "it is not back yet", "ppspss")
		b.serve(1, 1, says(200))
		b.expect(t, "it is back", "psspss")
		b.serve(2, 5, says(500))
		b.expect(t, "another may be out", "psepss")
	})
}

// Whoever is not there has not succeeded, be it that no rule counts it.
func TestNoAnswerOnProbationIsNoSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, only(outlier.Options{
			ConsecutiveLocalOriginFailures: ptr(0), SuccessRateStdevFactor: ptr(0.0), FailurePercentageThreshold: ptr(0.0),
		}), 2)
		b.serve(0, 5, says(500))
		time.Sleep(30 * time.Second)
		b.serve(0, 1, refuses)
		b.expect(t, "it is not reached", "ps")
		b.serve(0, 1, says(200))
		b.expect(t, "it has answered", "ss")
	})
}

func TestEjectionsGrowAndDecay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newPool(t, Options{OutlierDetection: &outlier.Options{MaxEjectionTime: caddy.Duration(70 * time.Second)}}, 2)
		out := func(when string, way answers, n int, lasts time.Duration) {
			t.Helper()
			b.serve(0, n, way)
			b.expect(t, when, "es")
			time.Sleep(lasts - 1)
			b.expect(t, when+", at its end", "es")
			time.Sleep(time.Nanosecond)
			b.expect(t, when+", after it", "ps")
		}
		out("the first", refuses, 5, 30*time.Second)
		out("the second, by one failure on probation", says(500), 1, 60*time.Second)
		out("the third, which has the greatest length", refuses, 1, 70*time.Second)
		b.serve(0, 1, says(200))
		b.expect(t, "a success", "ss")
		time.Sleep(20 * time.Second) // two healthy intervals
		out("the second again", refuses, 5, 60*time.Second)
		b.serve(0, 1, says(200))
		time.Sleep(time.Hour)
		out("the first again", refuses, 5, 30*time.Second)
	})
}
