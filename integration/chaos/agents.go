package main

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// speak answers the agent checks of all backends: another weight each time, and
// that one at fault is to be drained.
func (t *trial) speak() {
	for {
		conn, err := t.agents.Accept()
		if err != nil {
			return
		}
		mode := "ready"
		for _, b := range t.backends {
			if sameHost(b.addr, conn.LocalAddr().String()) && b.fault.Load() == drops {
				mode = "drain"
			}
		}
		fmt.Fprintf(conn, "up %s %d%%\n", mode, 20+rand.IntN(100))
		conn.Close()
	}
}

func sameHost(a, b string) bool {
	hostA, _, _ := net.SplitHostPort(a)
	hostB, _, _ := net.SplitHostPort(b)
	return hostA == hostB && hostA != "127.0.0.1" // where all backends have that one
}
