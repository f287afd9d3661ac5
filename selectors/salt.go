package selectors

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// salt hashes keys so that the hash can be told only by those that know the salt.
//
// A fast hash with a seed would not do: for such hashes, keys can be found that
// collide for every seed, and a client that sends those loads one upstream.
type salt struct{ digest [sha256.Size]byte }

func newSalt(text string) *salt { return &salt{sha256.Sum256([]byte(text))} }

// hash returns the key's hash; without a salt, which is nil, anyone can compute it.
func (s *salt) hash(key string) uint64 {
	if s == nil {
		return xxhash.Sum64String(key)
	}
	var short [256]byte // keys seldom are longer
	sum := sha256.Sum256(append(append(short[:0], s.digest[:]...), key...))
	return binary.BigEndian.Uint64(sum[:])
}
