package main

import (
	"flag"
	"testing"
	"time"
)

var duration = flag.Duration("chaos", 12*time.Second, "how long TestChaos goes on")

// TestChaos is the command in its short form.
func TestChaos(t *testing.T) {
	c, err := newTrial()
	if err != nil {
		t.Fatal(err)
	}
	err = c.run(*duration)
	t.Logf("seen:\n%s", c)
	if err != nil {
		t.Error(err)
	}
}
