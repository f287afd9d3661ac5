package integration

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// setParallel sets how many tests run at the same time in processes of their own,
// unless the command line does. They wait most of the time, so they may be more than
// there are processors, except under the race detector.
func setParallel() {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		numParallel := 2 * runtime.GOMAXPROCS(0)
		if raceDetector {
			numParallel = runtime.GOMAXPROCS(0)
		}
		flag.Set("test.parallel", fmt.Sprint(numParallel))
	}
}

// numForked counts the processes, from anywhere, so that their ports differ.
var numForked atomic.Int64

func init() { numForked.Store(rand.Int64N(rangesOfPorts)) }

// forked runs the test in a process of its own, at the same time as other such tests,
// and returns true. In that process it returns false. A process has only one Caddy, so
// this is how tests that take long run in parallel.
func forked(t *testing.T) bool {
	t.Helper()
	if os.Getenv(portsEnv) != "" {
		return false
	}
	t.Parallel()
	first := firstOwnPort + numForked.Add(1)%rangesOfPorts*portsOfATest
	cmd := exec.CommandContext(t.Context(), os.Args[0], forkedArgs(t)...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", portsEnv, first))
	output, err := cmd.CombinedOutput()
	switch text := string(output); {
	case err != nil:
		t.Errorf("%v:\n%s", err, text)
	case strings.Contains(text, "--- SKIP: "+t.Name()+" "):
		t.Skip(text)
	default:
		t.Log(text)
	}
	return true
}

// forkedArgs returns what the command line of this process says to one of its tests.
func forkedArgs(t *testing.T) []string {
	args := []string{"-test.v"}
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(t.Name()), "/", "$/^") + "$"
	flag.Visit(func(f *flag.Flag) {
		switch {
		case f.Name == "test.run":
			// Part of this test may be asked for; with alternatives, all of it runs.
			depth := strings.Count(t.Name(), "/") + 1
			asked := strings.SplitN(f.Value.String(), "/", depth+1)
			if len(asked) > depth && !strings.Contains(f.Value.String(), "|") {
				pattern += "/" + asked[depth]
			}
		case f.Name == "test.short", !strings.HasPrefix(f.Name, "test."):
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	if deadline, ok := t.Deadline(); ok {
		args = append(args, "-test.timeout="+time.Until(deadline).String())
	}
	return append(args, "-test.run="+pattern)
}
