//go:build !race

package selectors

const raceDetector = false
