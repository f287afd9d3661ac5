package selectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/balance"
	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
	"github.com/caddy-evenkeel/evenkeel/internal/request"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

// hashing is what the policies have in common that pick by a hash: the same key
// meets the same upstream. Which one depends on the upstreams configured and not on
// which of them are up: a key that leads to one that may not be picked is hashed
// again, until that is back.
type hashing struct {
	common

	// Text by which to pick, with placeholders: {client_ip},
	// {http.request.header.X-User}, {http.request.uri.path} …
	Key string `json:"key,omitempty"`

	// Share of the mean number of requests in flight, for its weight, that an
	// upstream gets at most, in percent; what is above goes on to others. Above
	// 100; 125 to 200 are sensible. Default: 0, no bound.
	BalanceFactor float64 `json:"balance_factor,omitempty"`

	// What an upstream's place depends on: its address, or its host, so that
	// it outlives a change of port. Default: address.
	HashBy string `json:"hash_by,omitempty"`

	// Secret that the key is hashed with, so that clients cannot tell which
	// upstream a key meets, and so choose one. All proxies that are to agree
	// need the same. Placeholders such as {env.LB_SALT} and
	// {file./run/secrets/salt} are replaced when the configuration is loaded.
	// Default: none; anyone can tell.
	Salt string `json:"salt,omitempty"`

	// Policy for requests whose key is empty, but for text that is no
	// placeholder. Default: weighted_random.
	FallbackRaw json.RawMessage `json:"fallback,omitempty" caddy:"namespace=http.reverse_proxy.selection_policies inline_key=policy"`

	fallback *inner
	blank    string // what the key is where no placeholder has a value
	stored   string // where a request's replacer keeps its key
	dynamic  bool   // upstreams are, or may be
	recent   recent // tables of those
	salt     *salt  // nil without
	traffic  traffic
}

// tabler is a policy that picks by a table of its own kind.
type tabler interface {
	pool.Policy

	// kind says all that its tables depend on but for the members.
	kind() string
	table(members []balance.Member) table
}

// table tells which member has a key.
type table interface{ At(key uint64) int }

const (
	byAddress = "address"
	byHost    = "host"

	minBalanceFactor = 100
	maxBalanceFactor = 100_000
)

// provisionHashing sets defaults, and gives the policy its pool.
func (p *hashing) provisionHashing(ctx caddy.Context, policy tabler) error {
	if err := checkKey(p.Key); err != nil {
		return err
	}
	if f := p.BalanceFactor; f != 0 && !(f > minBalanceFactor && f <= maxBalanceFactor) {
		return fmt.Errorf("balance_factor: %v%% is not above %d%% and at most %d%%", f, minBalanceFactor, maxBalanceFactor)
	}
	switch p.HashBy {
	case "":
		p.HashBy = byAddress
	case byAddress, byHost:
	default:
		return fmt.Errorf("hash_by: '%s' is neither address nor host", p.HashBy)
	}
	features := pool.Features{Key: p.levelKey, Undo: p.undo, Bound: p.BalanceFactor / 100}
	if err := p.handle.Provision(ctx, &p.Options, policy, features); err != nil {
		return err
	}
	_, fixed := p.handle.Addresses()
	p.dynamic = !fixed
	if p.Salt != "" {
		text, err := fillSecret(p.Salt)
		if err != nil {
			return fmt.Errorf("salt: %v", err)
		}
		if len(text) < shortSecret {
			ctx.Logger().Warn("the salt is so short that it might be guessed", sizes(text)...)
		}
		p.salt = newSalt(text)
	}
	var err error
	if p.fallback, err = loadFallback(p.handle.Enclose(ctx), policy, &p.FallbackRaw); err != nil {
		return err
	}
	for _, name := range unknownPlaceholders(p.Key) {
		ctx.Logger().Warn("the key has a placeholder that is none of Caddy's own: unless another handler sets it, it has no value;"+
			" check how it is written (JSON knows only long names, such as {http.request.uri})",
			zap.String("placeholder", name))
	}
	global := caddy.NewReplacer()
	const none = "\x00"
	if !strings.Contains(global.ReplaceAll(p.Key, none), none) {
		return fmt.Errorf("key '%s' is the same for all requests", p.Key)
	}
	p.blank = global.ReplaceAll(p.Key, "")
	p.stored = fmt.Sprintf("http.load_balancer.key.%p", p)
	return p.handle.Start()
}

// key is what is known of a request's key.
type key struct {
	empty bool
	hash  uint64
	share float64 // of all requests of late; 0 where there is no bound
}

// keyOf returns the request's key. It is computed once for a request: a retry has
// the same, whatever the attempts have made of the request.
func (p *hashing) keyOf(r *http.Request) key {
	repl := request.Replacer(r)
	if repl == nil {
		return key{empty: true}
	}
	if value, found := repl.Get(p.stored); found {
		return value.(key)
	}
	text := repl.ReplaceAll(p.Key, "")
	k := key{empty: text == p.blank}
	if !k.empty {
		k.hash = p.salt.hash(text)
		k.share = p.traffic.share(k.hash)
	}
	repl.Set(p.stored, k)
	return k
}

// levelKey is what the policy does as Key of its [pool.Features].
func (p *hashing) levelKey(r *http.Request) (uint32, bool) {
	if k := p.keyOf(r); !k.empty {
		return uint32(balance.Rehash(k.hash, -1) >> 32), true
	}
	return p.fallback.key(r)
}

// checkKey rejects keys that are the same for all requests.
func checkKey(key string) error {
	if key == "" {
		return errors.New(`key: missing; it is a text with placeholders, such as "{http.request.uri}"`)
	}
	if _, after, _ := strings.Cut(key, "{"); !strings.Contains(after, "}") {
		return fmt.Errorf("key '%s' has no placeholder such as {client_ip}: it is the same for all requests", key)
	}
	if strings.Contains(key, "{http.request.body") {
		return fmt.Errorf("key '%s': a key that reads the request's body takes it from the upstream", key)
	}
	return nil
}

// unknownPlaceholders returns the placeholders of the key that are none of Caddy's
// own: the names of those all have a period. The short ones are known in a Caddyfile
// only.
func unknownPlaceholders(key string) (names []string) {
	for rest := key; ; {
		_, after, ok := strings.Cut(rest, "{")
		if !ok {
			return names
		}
		var name string
		if name, rest, ok = strings.Cut(after, "}"); ok && !strings.Contains(name, ".") {
			names = append(names, "{"+name+"}")
		}
	}
}

// undo takes back what the fallback has set on the response.
func (p *hashing) undo(r *http.Request, header http.Header) { p.fallback.cookies.undo(r, header) }

// hashingOptions are those that all hashing policies have.
var hashingOptions = []string{"balance_factor", "hash_by", "salt", "fallback"}

// unmarshal parses the policy: its key, and its block. Own parses the options
// that are its own.
func (p *hashing) unmarshal(d *caddyfile.Dispenser, policy string, own func() (known bool, err error)) error {
	d.Next() // consume the policy's name
	name := d.Token()
	args := d.RemainingArgs()
	switch {
	case len(args) == 0 || args[0] == "":
		return cfg.ErrAt(name, "%s: missing key, such as {uri}", policy)
	case len(args) > 1:
		return cfg.ErrAt(name, "%s: unexpected argument '%s'; a key of several words is put in quotes", policy, args[1])
	}
	if err := checkKey(args[0]); err != nil {
		return cfg.ErrAt(name, "%s: %v", policy, err)
	}
	p.Key = args[0]
	return p.unmarshalBlock(d, policy, func() (known bool, err error) {
		switch d.Val() {
		case "balance_factor":
			p.BalanceFactor, err = cfg.Percent(d, minBalanceFactor, maxBalanceFactor)
			if err == nil && p.BalanceFactor == minBalanceFactor {
				err = d.Errf("balance_factor: %v%% is not above %d%%", p.BalanceFactor, minBalanceFactor)
			}
		case "hash_by":
			p.HashBy, err = cfg.Arg(d)
			if err == nil && p.HashBy != byAddress && p.HashBy != byHost {
				err = d.Errf("hash_by: '%s' is neither address nor host", p.HashBy)
			}
		case "salt":
			p.Salt, err = notEmpty(d)
		case "fallback":
			p.FallbackRaw, err = unmarshalFallback(d)
		default:
			if own == nil {
				return false, nil
			}
			return own()
		}
		return true, err
	})
}
