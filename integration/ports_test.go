package integration

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync/atomic"
)

// Ports that tests listen on are below those that the system gives to outgoing
// connections, so that nobody takes the port of a backend that is down. A test in a
// process of its own has some for itself.
const (
	firstPort     = 10_000 // of the tests that run one after the other
	firstOwnPort  = 20_000 // of the tests in processes of their own
	endOfPorts    = 32_000
	portsOfATest  = 200
	rangesOfPorts = (endOfPorts - firstOwnPort) / portsOfATest
)

// portsEnv has the first port of a test in a process of its own.
const portsEnv = "EVENKEEL_TEST_PORTS"

// ports are those of this process.
var ports = ownPorts()

// portRange gives its ports in turn.
type portRange struct {
	first, size int
	given       atomic.Int64
}

func ownPorts() *portRange {
	if first, err := strconv.Atoi(os.Getenv(portsEnv)); err == nil {
		return &portRange{first: first, size: portsOfATest}
	}
	all := &portRange{first: firstPort, size: firstOwnPort - firstPort}
	all.given.Store(rand.Int64N(int64(all.size))) // others may run these tests at the same time
	return all
}

func (r *portRange) next() int {
	return r.first + int(r.given.Add(1)-1)%r.size
}

// freeAddr returns an address that nobody listens on.
func freeAddr() string { return freeAddrOf("127.0.0.1") }

// freeAddrOf returns an address of the host that nobody listens on. It is a new one
// each time: what is known of an address, such as its ejections, outlives the test
// that it was learned in.
func freeAddrOf(host string) string {
	for range ports.size {
		addr := fmt.Sprintf("%s:%d", host, ports.next())
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	panic("no free port")
}
