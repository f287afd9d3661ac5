package orders

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
)

// Orders lie under one key each, which is written and removed as a whole: nothing is
// locked, and of two that write at once the last one wins.
const (
	version   = 1
	maxStored = 10_000 // orders
	maxBytes  = 8 << 10
)

// kind is a kind of orders, which lie apart from others in the storage.
type kind struct {
	prefix    string             // of the keys
	formatKey string             // a storage without it has lost what was in it, or never had an order
	isOrder   *regexp.Regexp     // matches keys; a killed writer may leave others behind: those of its temporary files
	valid     func(*Order) error // what is wrong with an order
}

func newKind(prefix, formatKey string, valid func(*Order) error) *kind {
	return &kind{prefix, formatKey, regexp.MustCompile("^" + prefix + "/[0-9a-f]{32}[.]json$"), valid}
}

// given are the orders for upstreams and pools.
var given = newKind("load_balancer/orders", "load_balancer/format", (*Order).Validate)

// stored is an order as the storage has it.
type stored struct {
	Version int    `json:"version"`
	Order   *Order `json:"order,omitempty"`
}

// storageKey returns the key in the storage.
func (of *kind) storageKey(k key) string {
	h := sha256.Sum256([]byte(k.pool + "\n" + k.address))
	return of.prefix + "/" + hex.EncodeToString(h[:16]) + ".json"
}

// isMissing reports whether the error says that there is no such key.
func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// maxLists is how often keys are listed again that another instance deletes meanwhile.
const maxLists = 10

// listKeys returns the keys of orders. A file system fails to list them, and says that
// they are missing, where one is deleted meanwhile.
func (of *kind) listKeys(ctx context.Context, storage certmagic.Storage) (keys []string, err error) {
	all, err := storage.List(ctx, of.prefix, false)
	for n := 1; isMissing(err) && n < maxLists && storage.Exists(ctx, of.prefix); n++ {
		all, err = storage.List(ctx, of.prefix, false)
	}
	if err != nil && (!isMissing(err) || storage.Exists(ctx, of.prefix)) {
		return nil, err
	}
	for _, k := range all {
		if of.isOrder.MatchString(k) {
			keys = append(keys, k)
		}
	}
	if len(keys) > maxStored {
		return nil, fmt.Errorf("it has %d orders, more than %d", len(keys), maxStored)
	}
	return keys, nil
}

// atOnce is how many orders are read at the same time: a remote storage takes its time for
// each.
const atOnce = 32

// loaded is an order as it was read, or why it was not.
type loaded struct {
	order *Order
	err   error
}

// loadAll returns the orders under the storage keys, in their order.
func (of *kind) loadAll(ctx context.Context, storage certmagic.Storage, keys []string) []loaded {
	all := make([]loaded, len(keys))
	var next atomic.Int64
	var readers sync.WaitGroup
	for range min(atOnce, len(keys)) {
		readers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(keys) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				all[i].order, all[i].err = of.loadOne(ctx, storage, keys[i])
			}
		})
	}
	readers.Wait()
	return all
}

// loadOne returns the order under the storage key.
func (of *kind) loadOne(ctx context.Context, storage certmagic.Storage, at string) (*Order, error) {
	text, err := storage.Load(ctx, at)
	if err != nil {
		return nil, err
	}
	if len(text) > maxBytes {
		return nil, fmt.Errorf("%d bytes are more than %d", len(text), maxBytes)
	}
	var in stored
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, err
	}
	switch {
	case in.Version > version:
		return nil, tooNew(in.Version)
	case in.Version < 1 || in.Order == nil:
		return nil, errors.New("it is no order")
	}
	if err := of.valid(in.Order); err != nil {
		return nil, err
	}
	if of.storageKey(in.Order.key()) != at {
		return nil, errors.New("it is an order of another upstream")
	}
	return in.Order, nil
}

func tooNew(found int) error {
	return fmt.Errorf("its format %d is newer than %d, the latest that this version of the plugin knows", found, version)
}

// marked reports whether the storage has what is written before the first order.
func (of *kind) marked(ctx context.Context, storage certmagic.Storage) (bool, error) {
	text, err := storage.Load(ctx, of.formatKey)
	if isMissing(err) {
		return false, nil
	}
	var in stored
	if err == nil && json.Unmarshal(text, &in) == nil && in.Version > version {
		err = tooNew(in.Version)
	}
	return err == nil, err
}

// begin takes the right to write, which [Use.end] gives back. It waits until the channel
// yields; with nil, not at all.
func (u *Use) begin(quit <-chan struct{}) bool {
	select {
	case u.writing <- struct{}{}:
		return true
	default:
	}
	if quit == nil {
		return false
	}
	select {
	case u.writing <- struct{}{}:
		return true
	case <-quit:
		return false
	}
}

func (u *Use) end() { <-u.writing }

// put writes the order, or removes that of the key where it is nil.
func (u *Use) put(ctx context.Context, k key, o *Order) error {
	if o == nil {
		if err := u.storage.Delete(ctx, u.of.storageKey(k)); !isMissing(err) {
			return err
		}
		return nil
	}
	text, err := json.Marshal(stored{version, o})
	if err != nil {
		return err
	}
	return u.storage.Store(ctx, u.of.storageKey(k), text)
}

// mark writes the orders, and then what says that the storage is complete.
func (u *Use) mark(ctx context.Context, missing []*Order) error {
	for _, o := range missing {
		if err := u.put(ctx, o.key(), o); err != nil {
			return err
		}
	}
	text, err := json.Marshal(stored{Version: version})
	if err != nil {
		return err
	}
	return u.storage.Store(ctx, u.of.formatKey, text)
}

// sweep removes an order that ended long ago, unless another has been written meanwhile.
func (u *Use) sweep(ctx context.Context, at string, now time.Time) {
	if !u.begin(nil) {
		return // the next reading tries again
	}
	defer u.end()
	if o, err := u.of.loadOne(ctx, u.storage, at); err == nil && o.ended(now) {
		_ = u.storage.Delete(ctx, at) // likewise
	}
}
