package pool

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/outlier"
	"github.com/caddy-evenkeel/evenkeel/queue"
)

// parse parses options as the block of a policy; the first is on line 2.
func parse(o *Options, options string) error {
	d := caddyfile.NewTestDispenser("policy {\n" + options + "\n}")
	d.Next()
	for d.NextBlock(0) {
		option := d.Val()
		if known, err := UnmarshalOption(o, d); err != nil {
			return err
		} else if !known {
			return fmt.Errorf("unknown: %s", option)
		}
	}
	if d.Next() {
		return fmt.Errorf("the block ends before '%s'", d.Val())
	}
	return nil
}

func TestOptionsFromACaddyfile(t *testing.T) {
	for options, want := range map[string]Options{
		"weight 3 a:80 10.0.0.0/8\nweight 0 b": {Weights: map[string]int{"a:80": 3, "10.0.0.0/8": 3, "b": 0}},
		"priority 2 a b:80\nbackup c":          {Priorities: map[string]int{"a": 2, "b:80": 2}, Backups: []string{"c"}},
		"priority 0 a\npriority 1000 b":        {Priorities: map[string]int{"a": 0, "b": 1000}},
		"overprovisioning 1":                   {Overprovisioning: ptr(1.0)},
		"overprovisioning 2.5":                 {Overprovisioning: ptr(2.5)},
		"failback_delay 1m":                    {FailbackDelay: caddy.Duration(time.Minute)},
		"panic_threshold 0":                    {PanicThreshold: ptr(0.0)},
		"panic_threshold 33.3%":                {PanicThreshold: ptr(33.3)},
		"slow_start 10s":                       {SlowStart: &SlowStart{caddy.Duration(10 * time.Second), 1}},
		"slow_start 1d 0.5":                    {SlowStart: &SlowStart{caddy.Duration(24 * time.Hour), 0.5}},
		"queue 1":                              {Queue: &queue.Options{Length: 1, Timeout: caddy.Duration(time.Minute)}},
		"queue 1000000 100ms":                  {Queue: &queue.Options{Length: 1_000_000, Timeout: caddy.Duration(100 * time.Millisecond)}},
		"retries 0\nretry_same":                {Retries: ptr(0), RetrySame: true},
		"hold 1ns":                             {Hold: &queue.HoldOptions{Duration: 1}},
		"hold 1h 1000000":                      {Hold: &queue.HoldOptions{Duration: caddy.Duration(time.Hour), Requests: 1_000_000}},
		"hold off":                             {Hold: &queue.HoldOptions{Off: true}},
		"retry_budget 0":                       {RetryBudget: &RetryBudget{Percent: ptr(0.0)}},
		"retry_budget 100% 0":                  {RetryBudget: &RetryBudget{Percent: ptr(100.0), PerSecond: ptr(0)}},
		"retry_budget off":                     {RetryBudget: &RetryBudget{Off: true}},
		"outlier_detection":                    {OutlierDetection: &outlier.Options{}},
		"outlier_detection {\n}":               {OutlierDetection: &outlier.Options{}},
		"outlier_detection off":                {OutlierDetection: &outlier.Options{Off: true}},
		"outlier_detection {\nstatus 5xx 429\nconsecutive_5xx 0\n}\nretries 1": {
			OutlierDetection: &outlier.Options{Status: []string{"5xx", "429"}, Consecutive5xx: ptr(0)}, Retries: ptr(1),
		},
	} {
		t.Run(options, func(t *testing.T) {
			var got Options
			if err := parse(&got, options); err != nil {
				t.Fatal(err)
			}
			for _, o := range []*Options{&got, &want} {
				if err := o.provision(); err != nil {
					t.Fatal(err)
				}
			}
			if gotJSON, wantJSON := asJSON(t, &got), asJSON(t, &want); gotJSON != wantJSON {
				t.Errorf("%s, want %s", gotJSON, wantJSON)
			}
		})
	}
}

func asJSON(t *testing.T, o *Options) string {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What golden files have no use for: the ends of ranges, and what is no number.
func TestOptionErrors(t *testing.T) {
	for options, want := range map[string]string{
		"retries 1\nretries 2":                "duplicate option 'retries', at Testfile:3",
		"priority -1 a":                       "priority: -1 of upstream 'a' is not between 0 and 1000, at Testfile:2",
		"priority 1001 a":                     "priority: 1001 of upstream 'a' is not between 0 and 1000, at Testfile:2",
		"priority 99999999999999999999 a":     "priority: '99999999999999999999' is not an integer, at Testfile:2",
		`priority "" a`:                       "priority: '' is not an integer, at Testfile:2",
		`priority 1 ""`:                       "priority: empty upstream, at Testfile:2",
		"priority 1 a a":                      "priority: duplicate upstream 'a', at Testfile:2",
		"backup a\nbackup A":                  "backup: duplicate upstream 'A', at Testfile:3",
		"overprovisioning 0.99":               "overprovisioning: 0.99 is not between 1 and 100, at Testfile:2",
		"overprovisioning 100.1":              "overprovisioning: 100.1 is not between 1 and 100, at Testfile:2",
		"overprovisioning nan":                "overprovisioning: 'nan' is not a number, at Testfile:2",
		"overprovisioning inf":                "overprovisioning: +Inf is not between 1 and 100, at Testfile:2",
		"failback_delay 0":                    "failback_delay: 0s is not above zero, at Testfile:2",
		"failback_delay 3651d":                "failback_delay: 87624h0m0s is more than ten years, at Testfile:2",
		"panic_threshold -0.1":                "panic_threshold: -0.1% is not between 0% and 100%, at Testfile:2",
		"panic_threshold nan%":                "panic_threshold: 'nan%' is not a percentage, at Testfile:2",
		"slow_start -1s":                      "slow_start: -1s is not above zero and below ten years, at Testfile:2",
		"slow_start 0s 2":                     "slow_start: 0s is not above zero and below ten years, at Testfile:2",
		"slow_start 4000d":                    "slow_start: 96000h0m0s is not above zero and below ten years, at Testfile:2",
		"slow_start 1s 0":                     "slow_start: aggression 0 is not between 0.01 and 100, at Testfile:2",
		"slow_start 1s 101":                   "slow_start: aggression 101 is not between 0.01 and 100, at Testfile:2",
		"slow_start 1s nan":                   "slow_start: aggression NaN is not between 0.01 and 100, at Testfile:2",
		"queue 0":                             "queue: 0 is not between 1 and 1000000, at Testfile:2",
		"queue -1 1s":                         "queue: -1 is not between 1 and 1000000, at Testfile:2",
		"queue 1000001":                       "queue: 1000001 is not between 1 and 1000000, at Testfile:2",
		"queue 1.5":                           "queue: '1.5' is not an integer, at Testfile:2",
		"queue 5 0":                           "queue: a timeout of 0s is not above zero, at Testfile:2",
		"queue 5 -1s":                         "queue: -1s is not above zero and below ten years, at Testfile:2",
		"queue 5 4000d":                       "queue: 96000h0m0s is not above zero and below ten years, at Testfile:2",
		"outlier_detection {\n\n  off\n}":     "unknown option 'off' for outlier_detection, at Testfile:4",
		"outlier_detection off {\n}":          "outlier_detection off takes no block, at Testfile:2",
		"outlier_detection off { }":           "outlier_detection off takes no block, at Testfile:2",
		"hold 3600.1s":                        "hold: 1h0m0.1s is not above zero and at most 1h; hold off lets no request wait, at Testfile:2",
		"hold 1s 1000001":                     "hold: 1000001 is not between 1 and 1000000: it is how many requests may wait, at Testfile:2",
		"hold off {\n}":                       "hold takes no block, at Testfile:2",
		"retry_budget 100.1":                  "retry_budget: 100.1% is not between 0% and 100%, at Testfile:2",
		"retry_budget inf":                    "retry_budget: +Inf% is not between 0% and 100%, at Testfile:2",
		"retry_budget 1 99999999999999999999": "retry_budget: '99999999999999999999' is not an integer, at Testfile:2",
	} {
		t.Run(options, func(t *testing.T) {
			var o Options
			if err := parse(&o, options); err == nil || err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
}

// A Caddyfile is not the only way to give options.
func TestProvisionRejectsWhatIsNoOption(t *testing.T) {
	tooLong := caddy.Duration(4000 * 24 * time.Hour)
	for want, o := range map[string]Options{
		"weight: -1 of upstream 'a' is not between 0 and 2147483647":                                                                     {Weights: map[string]int{"a": -1}},
		"priority: -1 of upstream 'a' is not between 0 and 1000":                                                                         {Priorities: map[string]int{"a": -1}},
		"priority: duplicate upstream 'a:80'":                                                                                            {Priorities: map[string]int{"a:80": 1, "http://a": 1}},
		"max_requests: 0 of upstream 'a' is not between 1 and 2147483647":                                                                {MaxRequests: map[string]int{"a": 0}},
		"max_requests: duplicate upstream 'a:80'":                                                                                        {MaxRequests: map[string]int{"a:80": 1, "http://a": 1}},
		"default_max_requests: -1 is not between 1 and 2147483647":                                                                       {DefaultMaxRequests: -1},
		"overprovisioning: 0.5 is not between 1 and 100":                                                                                 {Overprovisioning: ptr(0.5)},
		"overprovisioning: NaN is not between 1 and 100":                                                                                 {Overprovisioning: ptr(math.NaN())},
		"failback_delay: -1ns is not above zero and below ten years":                                                                     {FailbackDelay: -1},
		"failback_delay: 96000h0m0s is not above zero and below ten years":                                                               {FailbackDelay: tooLong},
		"retries: 1001 is not between 0 and 1000":                                                                                        {Retries: ptr(1001)},
		"panic_threshold: NaN% is not between 0% and 100%":                                                                               {PanicThreshold: ptr(math.NaN())},
		"slow_start: 0s is not above zero and below ten years":                                                                           {SlowStart: &SlowStart{Aggression: 1}},
		"slow_start: aggression -1 is not between 0.01 and 100":                                                                          {SlowStart: &SlowStart{Window: 1, Aggression: -1}},
		"queue: 0 is not between 1 and 1000000":                                                                                          {Queue: &queue.Options{}},
		"queue: -1ns is not above zero and below ten years":                                                                              {Queue: &queue.Options{Length: 1, Timeout: -1}},
		"hold: -1ns is not above zero and at most 1h; hold off lets no request wait":                                                     {Hold: &queue.HoldOptions{Duration: -1}},
		"hold: 1h0m0.000000001s is not above zero and at most 1h; hold off lets no request wait":                                         {Hold: &queue.HoldOptions{Duration: caddy.Duration(time.Hour) + 1}},
		"hold: -1 is not between 1 and 1000000: it is how many requests may wait":                                                        {Hold: &queue.HoldOptions{Requests: -1}},
		"hold: 1000001 is not between 1 and 1000000: it is how many requests may wait":                                                   {Hold: &queue.HoldOptions{Requests: 1_000_001}},
		"hold: off and other options exclude each other":                                                                                 {Hold: &queue.HoldOptions{Off: true, Requests: 1}},
		"retry_budget: NaN% is not between 0% and 100%":                                                                                  {RetryBudget: &RetryBudget{Percent: ptr(math.NaN())}},
		"retry_budget: 101% is not between 0% and 100%":                                                                                  {RetryBudget: &RetryBudget{Percent: ptr(101.0)}},
		"retry_budget: -1 is not between 0 and 1000000":                                                                                  {RetryBudget: &RetryBudget{PerSecond: ptr(-1)}},
		"retry_budget: off and other options exclude each other":                                                                         {RetryBudget: &RetryBudget{Off: true, PerSecond: ptr(0)}},
		"outlier_detection: off and other options exclude each other":                                                                    only(outlier.Options{Off: true, Consecutive5xx: ptr(1)}),
		"outlier_detection: consecutive_5xx: -1 is not between 0 and 1073741824":                                                         only(outlier.Options{Consecutive5xx: ptr(-1)}),
		"outlier_detection: minimum_hosts: 0 is not between 1 and 1073741824":                                                            only(outlier.Options{MinimumHosts: ptr(0)}),
		"outlier_detection: success_rate_stdev_factor: NaN is not between 0 and 1000":                                                    only(outlier.Options{SuccessRateStdevFactor: ptr(math.NaN())}),
		"outlier_detection: failure_percentage_threshold: 101 is not between 0 and 100":                                                  only(outlier.Options{FailurePercentageThreshold: ptr(101.0)}),
		"outlier_detection: max_ejection_percent: -1 is not between 0 and 100":                                                           only(outlier.Options{MaxEjectionPercent: ptr(-1.0)}),
		"outlier_detection: interval: -1ns is not above zero and below ten years":                                                        only(outlier.Options{Interval: -1}),
		"outlier_detection: interval: 5ns is below 50ms; in JSON, a number without quotes is nanoseconds: write \"5s\" for five seconds": only(outlier.Options{Interval: 5}),
		"outlier_detection: base_ejection_time: -1ns is not above zero and below ten years":                                              only(outlier.Options{BaseEjectionTime: -1}),
		"outlier_detection: max_ejection_time: 96000h0m0s is not above zero and below ten years":                                         only(outlier.Options{MaxEjectionTime: tooLong}),
		"outlier_detection: ejection_jitter: -1ns is not above zero and below ten years":                                                 only(outlier.Options{EjectionJitter: -1}),
	} {
		if err := o.provision(); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// What a policy does not name, it has by default; off, it has nothing of.
func TestHoldAndRetryBudgetByDefault(t *testing.T) {
	var o Options
	if err := o.provision(); err != nil {
		t.Fatal(err)
	}
	if h := o.hold; *h != (queue.HoldOptions{Duration: caddy.Duration(3 * time.Second), Requests: 5000}) {
		t.Errorf("hold: %+v", h)
	}
	if b := o.budget; *b.Percent != 20 || *b.PerSecond != 10 {
		t.Errorf("retry_budget: %v%% and %d", *b.Percent, *b.PerSecond)
	}
	if o.Hold != nil || o.RetryBudget != nil {
		t.Error("defaults are written into the configuration")
	}
	o = Options{Hold: &queue.HoldOptions{Off: true}, RetryBudget: &RetryBudget{Off: true}}
	if err := o.provision(); err != nil || o.hold != nil || o.budget != nil {
		t.Error("off:", err, o.hold, o.budget)
	}
}

// Every option counts as one where none may be, and is in the JSON.
func TestCommonKnowsEveryOption(t *testing.T) {
	var o Options
	if got := o.common(); got != "" {
		t.Errorf("no option is set, and still %s", got)
	}
	v := reflect.TypeFor[Options]()
	for i := range v.NumField() {
		name, _, tagged := strings.Cut(v.Field(i).Tag.Get("json"), ",")
		if !tagged {
			continue
		}
		var one Options
		field := reflect.ValueOf(&one).Elem().Field(i)
		switch field.Kind() {
		case reflect.Pointer:
			field.Set(reflect.New(field.Type().Elem()))
		case reflect.Map:
			field.Set(reflect.MakeMap(field.Type()))
		case reflect.Slice:
			field.Set(reflect.MakeSlice(field.Type(), 0, 0))
		case reflect.Bool:
			field.SetBool(true)
		case reflect.String:
			field.SetString("x")
		default:
			field.SetInt(1)
		}
		option := map[string]string{"weights": "weight", "priorities": "priority", "backups": "backup", "default_max_requests": "max_requests", "health_checks": "health_check"}[name]
		if option == "" {
			option = name
		}
		if got := one.common(); got != option {
			t.Errorf("with %s set: %q", name, got)
		}
	}
}
