// Command chaos runs one Caddy with every policy over backends that fail in every
// way they can, with clients that go away, and with a reload each second that
// changes options. It ends by itself, and fails unless all answers were right, no
// GET failed that another backend could have served, and goroutines, descriptors
// and memory are back at what they were after a first round:
//
//	go run -race ./integration/chaos -duration 30m
package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	duration := flag.Duration("duration", 2*time.Minute, "how long to go on")
	flag.Parse()
	t, err := newTrial()
	if err == nil {
		err = t.run(*duration)
		fmt.Println(t)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
