package selectors

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"sync/atomic"
	"time"
)

// stamps tell whether a cookie was set of late. A stamp is an HMAC of the tick in
// which that was: no one else can make one, it reveals no time, and looking for it
// among those of late is all that a request costs.
type stamps struct {
	signer signer
	tick   time.Duration
	latest atomic.Pointer[stamped]
}

// stamped are the stamps as of a tick. It does not change.
type stamped struct {
	tick int64
	now  string
	late map[string]bool // those of cookies less than half of whose life is over
}

const (
	stampSize = 9  // bytes
	lifeTicks = 16 // in the life of a cookie
)

var stampLength = base64.RawURLEncoding.EncodedLen(stampSize)

func newStamps(s signer, life time.Duration) *stamps {
	return &stamps{signer: s, tick: life / lifeTicks}
}

// fresh reports whether the cookie with the stamp has at least half of its life
// before it, but for a tick.
func (s *stamps) fresh(stamp string, now time.Time) bool { return s.at(now).late[stamp] }

// at returns the stamps as of now.
func (s *stamps) at(now time.Time) *stamped {
	tick := now.UnixNano() / int64(s.tick)
	if latest := s.latest.Load(); latest != nil && latest.tick == tick {
		return latest
	}
	next := &stamped{tick: tick, now: s.of(tick), late: make(map[string]bool)}
	next.late[s.of(tick+1)] = true // by another proxy, whose clock is ahead
	for ago := range int64(lifeTicks/2 + 1) {
		next.late[s.of(tick-ago)] = true
	}
	s.latest.Store(next)
	return next
}

// of returns the stamp of the tick.
func (s *stamps) of(tick int64) string {
	mac := hmac.New(sha256.New, s.signer.secret)
	text := binary.BigEndian.AppendUint64([]byte("stamp\x00"), uint64(s.tick))
	mac.Write(binary.BigEndian.AppendUint64(text, uint64(tick)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:stampSize])
}
