package selectors

import (
	"container/list"
	"hash/maphash"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// learned knows which upstreams the sessions of an application are with, by the
// cookies that it sets.
type learned struct {
	names  []string
	age    time.Duration // after which an unused session is forgotten
	shards *shards       // the pool's, over reloads
}

// shards are parts of a table, each with its own lock, so that requests seldom
// wait for each other.
type shards [16]shard

type shard struct {
	mu       sync.Mutex
	sessions map[uint64]*list.Element
	recent   [2]list.List // of *remembered, the one used last first; those that were set apart
}

// remembered is a session, with its upstream and those that it was with before.
type remembered struct {
	key       uint64
	addresses []string // the latest first
	used      time.Time
	age       time.Duration // after which it is forgotten
	set       int           // 1 if an upstream has set it, 0 if one has merely accepted it
}

const (
	defaultAge  = time.Hour
	maxSessions = 100_000 // of one pool; the one that has not been used for longest goes
	maxHomes    = 4       // upstreams of one session
	maxCookie   = 4096    // bytes; what is longer is no session
)

var memorySeed = maphash.MakeSeed()

// newLearned returns what is to be known of sessions by the cookies of these names.
func newLearned(names []string, age time.Duration) *learned {
	if age == 0 {
		age = defaultAge
	}
	return &learned{names: names, age: age, shards: new(shards)}
}

// keyOf returns what stands for a session; false if the value cannot be one.
func keyOf(name, value string) (key uint64, ok bool) {
	if value == "" || len(value) > maxCookie {
		return 0, false
	}
	var h maphash.Hash
	h.SetSeed(memorySeed)
	h.WriteString(name)
	h.WriteByte('=')
	h.WriteString(value)
	return h.Sum64(), true
}

func (s *shards) of(key uint64) *shard { return &s[key%uint64(len(s))] }

// find returns the member that the session is with which the request's cookies belong
// to. Members are told by address.
func (l *learned) find(cookies []string, members map[string]int) (member int, ok bool) {
	for _, name := range l.names {
		for value := range cookiesOf(cookies, name) {
			if key, ok := keyOf(name, value); ok {
				if member, ok := l.shards.of(key).find(key, members); ok {
					return member, true
				}
			}
		}
	}
	return 0, false
}

// find returns the member that the session is with.
func (s *shard) find(key uint64, members map[string]int) (member int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.sessions[key]
	if e == nil {
		return 0, false
	}
	session, now := e.Value.(*remembered), time.Now()
	if session.old(now) {
		s.drop(e)
		return 0, false
	}
	session.used = now
	s.recent[session.set].MoveToFront(e)
	for _, address := range session.addresses {
		if member, ok = members[address]; ok {
			return member, true
		}
	}
	return 0, false
}

// learn takes in what the upstream at the address has answered to a request with
// the given cookies. A cookie that it sets is a session with it; so is one that
// it has accepted, though another upstream, or this one before a restart of ours,
// may have set it.
func (l *learned) learn(cookies []string, address string, header http.Header) {
	for _, name := range l.names {
		set, found := setIn(header["Set-Cookie"], name)
		if !found {
			if value, ok := cookieIn(cookies, name); ok {
				if key, ok := keyOf(name, value); ok {
					l.shards.of(key).bind(key, address, l.age, false)
				}
			}
			continue
		}
		if over(set) {
			if value, ok := cookieIn(cookies, name); ok {
				if key, ok := keyOf(name, value); ok {
					l.shards.of(key).forget(key)
				}
			}
		} else if key, ok := keyOf(name, set.Value); ok {
			l.shards.of(key).bind(key, address, l.age, true)
		}
	}
}

// setIn returns the cookie of the name that the lines set, the last one if there
// are several.
func setIn(lines []string, name string) (cookie *http.Cookie, found bool) {
	for _, text := range slices.Backward(lines) {
		if !strings.HasPrefix(strings.TrimSpace(text), name) {
			continue
		}
		c, err := http.ParseSetCookie(text)
		if err != nil || c.Name != name {
			continue
		}
		if c.Quoted {
			c.Value = `"` + c.Value + `"` // as the client sends it
		}
		return c, true
	}
	return nil, false
}

// over reports whether setting the cookie deletes it.
func over(c *http.Cookie) bool {
	return c.Value == "" || c.MaxAge < 0 || c.MaxAge == 0 && !c.Expires.IsZero() && c.Expires.Before(time.Now())
}

// old reports whether the session has been unused for too long.
func (r *remembered) old(now time.Time) bool { return now.Sub(r.used) > r.age }

// bind notes that the session is with the upstream at the address, which has set
// it, or merely accepted it. Where there are too many, those go first that no upstream
// has set: clients could make them up.
func (s *shard) bind(key uint64, address string, age time.Duration, set bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	session := &remembered{key: key, addresses: []string{address}, age: age}
	if e := s.sessions[key]; e != nil {
		session = e.Value.(*remembered)
		s.drop(e)
		if session.addresses[0] != address {
			others := slices.DeleteFunc(session.addresses, func(a string) bool { return a == address })
			session.addresses = slices.Insert(others[:min(len(others), maxHomes-1)], 0, address)
		}
	}
	session.used, session.age = now, max(session.age, age)
	if set {
		session.set = 1
	}
	s.makeRoom(now)
	if s.sessions == nil {
		s.sessions = make(map[uint64]*list.Element)
	}
	s.sessions[key] = s.recent[session.set].PushFront(session)
}

// makeRoom drops those that are too old, two at a time so that they go as others
// come, and one if there are too many.
func (s *shard) makeRoom(now time.Time) {
	for i := range s.recent {
		for range 2 {
			if e := s.recent[i].Back(); e != nil && e.Value.(*remembered).old(now) {
				s.drop(e)
			}
		}
	}
	if len(s.sessions) < maxSessions/len(shards{}) {
		return
	}
	if e := s.recent[0].Back(); e != nil {
		s.drop(e)
	} else {
		s.drop(s.recent[1].Back())
	}
}

// forget notes that the session has ended.
func (s *shard) forget(key uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.sessions[key]; e != nil {
		s.drop(e)
	}
}

func (s *shard) drop(e *list.Element) {
	session := e.Value.(*remembered)
	delete(s.sessions, session.key)
	s.recent[session.set].Remove(e)
}
