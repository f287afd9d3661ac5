package pool

import (
	"fmt"
	"strings"
	"testing"
)

// Each option of outlier_detection rejects what is no value for it.
func TestOutlierDetectionErrors(t *testing.T) {
	const count, atLeastOne, percent, factor, duration = "0 and 1073741824", "1 and 1073741824", "0% and 100%", "0 and 1000", "duration"
	for option, kind := range map[string]string{
		"consecutive_5xx":                   count,
		"consecutive_gateway_failures":      count,
		"consecutive_local_origin_failures": count,
		"minimum_hosts":                     atLeastOne,
		"request_volume":                    atLeastOne,
		"failure_percentage_threshold":      percent,
		"max_ejection_percent":              percent,
		"success_rate_stdev_factor":         factor,
		"interval":                          duration,
		"base_ejection_time":                duration,
		"max_ejection_time":                 duration,
		"ejection_jitter":                   duration,
		"status":                            "status",
	} {
		t.Run(option, func(t *testing.T) {
			bad := map[string]string{"": option + ": missing argument"}
			switch kind {
			case count, atLeastOne:
				bad["1 2"] = option + ": unexpected argument '2'"
				bad["-1"] = option + ": -1 is not between " + kind
				bad["1073741825"] = option + ": 1073741825 is not between " + kind
				bad["1.5"] = option + ": '1.5' is not an integer"
			case percent:
				bad["1 2"] = option + ": unexpected argument '2'"
				bad["-1"] = option + ": -1% is not between " + kind
				bad["100.5%"] = option + ": 100.5% is not between " + kind
				bad["most"] = option + ": 'most' is not a percentage"
			case factor:
				bad["1 2"] = option + ": unexpected argument '2'"
				bad["-0.1"] = option + ": -0.1 is not between " + kind
				bad["1001"] = option + ": 1001 is not between " + kind
				bad["1.9σ"] = option + ": '1.9σ' is not a number"
			case duration:
				bad["1s 2s"] = option + ": unexpected argument '2s'"
				bad["0"] = option + ": 0s is not above zero"
				bad["-1s"] = option + ": -1s is not above zero"
				bad["5"] = option + `: '5' has no unit; write it with one, such as "5s"`
			default:
				bad["5x"] = "status: '5x' is not a status code, a class such as 2xx, or a range such as 200-399"
				bad["504-502"] = "status: range '504-502' ends before it begins"
			}
			if kind == atLeastOne {
				bad["0"] = option + ": 0 is not between " + kind
			}
			for value, want := range bad {
				var o Options
				line := strings.TrimSpace(option + " " + value)
				want += ", at Testfile:3"
				if err := parse(&o, "outlier_detection {\n"+line+"\n}"); err == nil || err.Error() != want {
					t.Errorf("%s: %v, want %s", line, err, want)
				}
			}
			valid := map[string]string{duration: "1s", "status": "503"}[kind]
			if valid == "" {
				valid = "1"
			}
			var o Options
			twice := fmt.Sprintf("outlier_detection {\n%s %s\n%s %s\n}", option, valid, option, valid)
			if err := parse(&o, twice); err == nil || err.Error() != "duplicate option '"+option+"', at Testfile:4" {
				t.Errorf("twice: %v", err)
			}
		})
	}
}
