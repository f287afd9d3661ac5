package healthcheck

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// provisionCheck provisions a check, given as JSON.
func provisionCheck(t *testing.T, options string) (*Check, error) {
	t.Helper()
	ctx := configContext(t, `{}`)
	check := &Check{CheckerRaw: json.RawMessage(`{"type":"scripted"}`), Name: "test"}
	if err := json.Unmarshal([]byte(options), check); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { check.Close() })
	return check, check.Provision(ctx, nil, newGroup(t, ctx))
}

func TestTooShortDurationsSayWhatWasRead(t *testing.T) {
	for _, test := range []struct{ options, want string }{
		{`{"interval":5}`, "interval: 5ns is below 50ms; in JSON, a number without quotes is nanoseconds: write \"5s\" for five seconds"},
		{`{"interval":"49ms"}`, "interval: 49ms is below 50ms"},
		{`{"transition_interval":1}`, "transition_interval: 1ns is below 50ms"},
		{`{"down_interval":"1ms"}`, "down_interval: 1ms is below 50ms"},
		{`{"timeout":2}`, "timeout: 2ns is below 1ms"},
		{`{"interval":-5}`, "interval: -5ns is not above zero"},
	} {
		if _, err := provisionCheck(t, test.options); err == nil || !strings.HasPrefix(err.Error(), "health_check: "+test.want) {
			t.Errorf("%s: %v", test.options, err)
		}
	}
	for _, options := range []string{`{"interval":"50ms"}`, `{"timeout":"1ms"}`, `{}`} {
		if _, err := provisionCheck(t, options); err != nil {
			t.Errorf("%s: %v", options, err)
		}
	}
}

func TestTimeoutIsAtMostTheIntervalByDefault(t *testing.T) {
	for _, test := range []struct {
		options string
		timeout time.Duration
	}{
		{`{}`, 2 * time.Second},
		{`{"interval":"1s"}`, time.Second},
		{`{"interval":"1s","timeout":"1s"}`, time.Second},
		{`{"interval":"1s","timeout":"3s"}`, 3 * time.Second},
	} {
		check, err := provisionCheck(t, test.options)
		if err != nil {
			t.Fatal(err)
		}
		if check.Timeout != caddy.Duration(test.timeout) {
			t.Errorf("%s: timeout %v", test.options, time.Duration(check.Timeout))
		}
	}
}
