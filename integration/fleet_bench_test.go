package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// fleetEnv makes this program the backend of the benchmark.
const fleetEnv = "EVENKEEL_FLEET"

func init() {
	if os.Getenv(fleetEnv) != "" {
		serveFleet()
		os.Exit(0)
	}
}

// serveFleet answers on all loopback addresses, and tells how many probes came
// in which second.
func serveFleet() {
	var mu sync.Mutex
	perSecond := make(map[int64]int)
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		perSecond[time.Now().Unix()]++
	})
	mux.HandleFunc("/per-second", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_ = json.NewEncoder(w).Encode(perSecond)
	})
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	_ = http.Serve(l, mux)
}

// BenchmarkFleet watches 10,000 upstreams, checked over HTTP every 5s, for 20s
// each time round, and tells what that costs:
//
//	go test -run '^$' -bench Fleet -benchtime 1x ./integration
//
// cores is the processor time of the whole process per second; MB is what its
// memory has grown by with the checks, all-MB what it is in all;
// busiest/share compares the busiest second with an even spread.
func BenchmarkFleet(b *testing.B) {
	const upstreams, interval = 10_000, 5
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), fleetEnv+"=1")
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	port = strings.TrimSpace(port)
	var addresses []string
	for i := range upstreams {
		addresses = append(addresses, fmt.Sprintf("127.0.%d.%d:%s", 1+i/250, 1+i%250, port))
	}
	site := func(check string) []byte {
		config, err := adapt("", freeAddr(), "reverse_proxy "+strings.Join(addresses, " ")+" {\nlb_policy peak_ewma {\n"+check+"\n}\n}")
		if err != nil {
			b.Fatal(err)
		}
		return config
	}
	load := func(config []byte) {
		if err := caddy.Load(config, true); err != nil {
			b.Fatal(err)
		}
	}
	load(site(""))
	debug.FreeOSMemory()
	unchecked := residentMB()
	load(site("health_check http /health {\ninterval 5s\n}"))
	runtime.GC()
	time.Sleep(2 * interval * time.Second) // first probes are over, and the spread is even
	for b.Loop() {
		began, used := time.Now(), processorTime(b)
		time.Sleep(4 * interval * time.Second)
		took := time.Since(began)
		b.ReportMetric((processorTime(b)-used).Seconds()/took.Seconds(), "cores")
		b.ReportMetric(residentMB()-unchecked, "MB")
		b.ReportMetric(residentMB(), "all-MB")
		res, err := http.Get("http://127.0.0.1:" + port + "/per-second")
		if err != nil {
			b.Fatal(err)
		}
		perSecond := make(map[int64]int)
		if err := json.NewDecoder(res.Body).Decode(&perSecond); err != nil {
			b.Fatal(err)
		}
		res.Body.Close()
		var counts []int
		for second := began.Unix() + 1; second < began.Unix()+4*interval; second++ {
			counts = append(counts, perSecond[second])
		}
		b.ReportMetric(float64(slices.Max(counts))/(upstreams/interval), "busiest/share")
	}
}

// processorTime is what this process has used so far.
func processorTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// residentMB is the memory of this process that is in use.
func residentMB() float64 {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int
	_, _ = fmt.Sscan(string(statm), &size, &resident)
	return float64(resident*os.Getpagesize()) / (1 << 20)
}
