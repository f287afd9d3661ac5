package healthcheck

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

var aNumberOfThings = response{
	status: 200,
	header: http.Header{"X-State": {"ready"}, "Via": {"a", "b"}},
	body: []byte(`{"state":"ok","count":4,"ratio":0.25,"big":1e3,"deep":{"flag":true},
		"items":[{"up":true},{"up":true}],"none":null,"user":"\u00e9"}`),
	duration: 40 * time.Millisecond,
}

func TestExpectExpression(t *testing.T) {
	for source, reason := range map[string]string{
		`status == 200`:        "",
		`status in [200, 204]`: "",
		`status >= 199.5`:      "",
		`headers["X-State"] == "ready" && headers["x-state"] == "ready"`:  "",
		`headers["via"] == "a, b"`:                                        "",
		`"Missing" in headers`:                                            `expression is false: "Missing" in headers`,
		`body.contains("state")`:                                          "",
		`body.matches('^\\{"state":"[a-z]+"')`:                            "",
		`json.state == "ok"`:                                              "",
		`json.state.upperAscii() == "OK"`:                                 "",
		`json.count > 3`:                                                  "",
		`json.count == 4 && json.count <= 4`:                              "",
		`json.count in [3, 4]`:                                            "",
		`json.count / 8.0 == 0.5`:                                         "",
		`json.ratio < 1`:                                                  "",
		`json.big == 1000`:                                                "",
		`json.deep.flag == true`:                                          "",
		`json.items.size() > 0`:                                           "",
		`json.items[1].up && true`:                                        "",
		`json.items.all(i, i.up)`:                                         "",
		`json.items.exists(i, !i.up)`:                                     "expression is false: json.items.exists(i, !i.up)",
		`json.none == null`:                                               "",
		`has(json.state) && !has(json.absent)`:                            "",
		`json.user == "é"`:                                                "",
		`duration < duration("50ms") && duration > duration("39ms")`:      "",
		`duration < duration("40ms")`:                                     `expression is false: duration < duration("40ms")`,
		"status == 200 &&\n\tstatus == 204":                               "expression is false: status == 200 && status == 204",
		`json.absent == 1`:                                                "expression failed: no such key: absent",
		`headers["Missing"] == "x"`:                                       "expression failed: no such key: Missing",
		`json.items[7].up && true`:                                        "expression failed: index out of bounds: 7",
		`json.state > 3`:                                                  "expression failed: no such overload",
		`status == 200 || json.absent == 1`:                               "",
		`json.count % 2 == 0`:                                             "expression failed: no such overload: _%_",
		`json.state == "down" || duration > duration("1s")`:               `expression is false: json.state == "down" || duration > duration("1s")`,
		`[1, 2, 3].all(a, [1, 2, 3].all(b, [1, 2, 3].all(c, a+b+c > 0)))`: "",
	} {
		t.Run(source, func(t *testing.T) {
			e, err := compileExpression(source, maxCost)
			if err != nil {
				t.Fatal(err)
			}
			err = e.check(t.Context(), aNumberOfThings)
			if reason == "" {
				reason = "<nil>"
			}
			expectReason(t, err, reason)
		})
	}
}

func TestExpectJSON(t *testing.T) {
	for name, test := range map[string]struct{ source, body, reason string }{
		"not JSON":              {`json.ok == true`, "<html>", "body is not JSON"},
		"no body":               {`json.ok == true`, "", "body is not JSON"},
		"more than one":         {`json.ok == true`, `{"ok":true}{}`, "body is not JSON"},
		"null":                  {`json == null`, "null", "<nil>"},
		"a string":              {`json == "up"`, `"up"`, "<nil>"},
		"not used":              {`status == 200`, "<html>", "<nil>"},
		"not needed":            {`status == 200 || json.ok == true`, "<html>", "<nil>"},
		"needed, but otherwise": {`json.ok == true || status == 500`, "<html>", "body is not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := compileExpression(test.source, maxCost)
			if err != nil {
				t.Fatal(err)
			}
			expectReason(t, e.check(t.Context(), response{status: 200, body: []byte(test.body)}), test.reason)
		})
	}
}

// endless loops a billion times over what an upstream may send.
const endless = `json.all(a, json.all(b, json.all(c, a + b + c > 0)))`

var aThousand = response{body: []byte("[" + strings.Repeat("1,", 999) + "1]")}

func TestExpectIsBounded(t *testing.T) {
	t.Run("by the deadline", func(t *testing.T) {
		e, err := compileExpression(endless, maxCost)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithDeadline(t.Context(), time.Now())
		defer cancel()
		expectReason(t, e.check(ctx, aThousand), "timeout")
	})
	t.Run("by its cost", func(t *testing.T) {
		e, err := compileExpression(endless, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		expectReason(t, e.check(t.Context(), aThousand), "expression failed: operation cancelled: actual cost limit exceeded")
	})
}

func TestExpectManyAtOnce(t *testing.T) {
	e, err := compileExpression(`json.n == double(status) && headers["n"] == body.substring(5, 6)`, maxCost)
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error)
	for i := range 8 {
		digit := string(rune('0' + i))
		a := response{status: i, header: http.Header{"N": {digit}}, body: []byte(`{"n":` + digit + `}`)}
		go func() { results <- e.check(t.Context(), a) }()
	}
	for range 8 {
		expectReason(t, <-results, "<nil>")
	}
}
