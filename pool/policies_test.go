package pool_test

import (
	"testing"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

type object = pooltest.Object

// forBoth runs a test with each policy of pooltest, in a bubble of its own.
func forBoth(t *testing.T, test func(t *testing.T, policy object)) {
	for _, policy := range []object{pooltest.ByWeight, pooltest.InOrder} {
		t.Run(policy["policy"].(string), func(t *testing.T) {
			pooltest.Test(t, func(t *testing.T) { test(t, policy) })
		})
	}
}
