package healthcheck

import (
	"crypto/x509"
	"sync"
)

// certPools numbers certificate pools by their content, so that equal ones have the
// same number while any is in use.
type certPools struct {
	mu   sync.Mutex // guards what follows
	last int        // number given out
	held map[int]*heldPool
}

type heldPool struct {
	pool  *x509.CertPool
	users int
}

var roots = certPools{held: make(map[int]*heldPool)}

// acquire returns the number of the pool. The caller releases it.
func (c *certPools) acquire(pool *x509.CertPool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, h := range c.held {
		if h.pool.Equal(pool) {
			h.users++
			return id
		}
	}
	c.last++
	c.held[c.last] = &heldPool{pool: pool, users: 1}
	return c.last
}

// release undoes one acquire.
func (c *certPools) release(id int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.held[id]; h != nil {
		if h.users--; h.users == 0 {
			delete(c.held, id)
		}
	}
}
