package pool_test

import (
	"testing"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// While one upstream answers, and there are retries enough for all, no GET fails:
// whatever the others do, and have done, and whatever the options are.
func TestNoGETFailsWhileOneUpstreamAnswers(t *testing.T) {
	for seed := range uint64(40) {
		pooltest.Test(t, func(t *testing.T) {
			pooltest.ExpectNoGETFails(t, seed, []object{pooltest.ByWeight, pooltest.InOrder})
		})
	}
}
