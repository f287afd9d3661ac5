package cfg

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// MinInterval is the shortest time from one round of work to the next that an
// option takes: below that, a check is an attack.
const MinInterval = 50 * time.Millisecond

// DurationFrom parses the option's only argument as [Duration] does, and
// rejects what is below the least.
func DurationFrom(d *caddyfile.Dispenser, least time.Duration) (caddy.Duration, error) {
	option := d.Val()
	value, err := Duration(d)
	if err == nil && time.Duration(value) < least {
		err = d.Errf("%s: %s is below %s", option, time.Duration(value), least)
	}
	return value, err
}

// MaxCount is the most that an option can be that counts something.
const MaxCount = 1 << 30

// CheckRange returns an error unless the option's value is from min to max.
func CheckRange(option string, n, min, max int) error {
	if n < min || n > max {
		return fmt.Errorf("%s: %d is not between %d and %d", option, n, min, max)
	}
	return nil
}

// CheckCount returns an error unless the option's value is from 1 to [MaxCount].
func CheckCount(option string, n int) error {
	if n <= 0 {
		return fmt.Errorf("%s: %d is not above zero", option, n)
	}
	return CheckRange(option, n, 1, MaxCount)
}

// CheckPercent returns an error unless the option's percentage is from min to max.
func CheckPercent(option string, p, min, max float64) error {
	if !(p >= min && p <= max) {
		return fmt.Errorf("%s: %v%% is not between %v%% and %v%%", option, p, min, max)
	}
	return nil
}

// CheckDuration returns an error unless the value, of an option that may have come
// from JSON, is zero for unset, or from the least up to [MaxDuration].
func CheckDuration(option string, value caddy.Duration, least time.Duration) error {
	switch d := time.Duration(value); {
	case d == 0:
		return nil
	case d < 0 || d > MaxDuration:
		return fmt.Errorf("%s: %s is not above zero and below ten years", option, d)
	case d < least:
		return fmt.Errorf("%s: %s is below %s; in JSON, a number without quotes is nanoseconds: write \"5s\" for five seconds",
			option, d, least)
	}
	return nil
}
