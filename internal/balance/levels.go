package balance

// Level is the upstreams of one priority. Those that take no traffic by
// configuration do not count.
type Level struct {
	Upstreams int
	Healthy   int     // of them, the degraded ones not among them
	Degraded  int     // of them: healthy, but asking to be spared
	Trusted   float64 // health that has lasted long enough; at most the level's health
}

// Health is the share of all traffic, 0 to 1, that so many healthy ones of a
// level's upstreams are trusted to take: with an overprovisioning of 1.4 a level
// takes everything until less than 1/1.4 of it is left.
func Health(healthy, upstreams int, overprovisioning float64) float64 {
	if upstreams == 0 {
		return 0
	}
	return min(1, overprovisioning*float64(healthy)/float64(upstreams))
}

// Load is the share of all traffic, 0 to 1, that goes to a level.
type Load struct {
	Healthy  float64 // to its healthy upstreams
	Degraded float64 // to its degraded ones
}

// Loads shares the traffic out over levels, the preferred ones first. Each takes
// as much as its trusted health allows, and leaves the rest to the next. What is
// left then goes to health that is not trusted yet, and what is left even then
// to degraded upstreams; levels that are short of health all together take more
// than it in proportion. The loads add up to one, or to zero where nobody is
// left.
//
// Priority levels, degraded endpoints: Envoy's documentation on load balancing.
// That health must have lasted is ours, for failback_delay.
func Loads(levels []Level, overprovisioning float64) []Load {
	loads := make([]Load, len(levels))
	left := 1.0
	take := func(load *float64, health float64) {
		part := min(left, max(health, 0))
		*load += part
		left -= part
	}
	for i, l := range levels {
		take(&loads[i].Healthy, min(l.Trusted, Health(l.Healthy, l.Upstreams, overprovisioning)))
	}
	for i, l := range levels {
		take(&loads[i].Healthy, Health(l.Healthy, l.Upstreams, overprovisioning)-loads[i].Healthy)
	}
	for i, l := range levels {
		take(&loads[i].Degraded, Health(l.Degraded, l.Upstreams, overprovisioning))
	}
	if taken := 1 - left; taken > 0 && left > 0 {
		for i := range loads {
			loads[i].Healthy /= taken
			loads[i].Degraded /= taken
		}
	}
	return loads
}
