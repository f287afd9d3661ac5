package healthcheck

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"go.uber.org/zap"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

func init() { caddy.RegisterModule(new(GRPC)) }

// GRPC is the checker `grpc`. A target passes when its service
// grpc.health.v1.Health answers SERVING. Each probe opens a connection of its own,
// encrypted as tls says, else like those of the handler's transport.
type GRPC struct {
	// Service to ask for. Default: empty, the server as a whole.
	Service string `json:"service,omitempty"`

	// The request's :authority. Default: the check's `host`, else the
	// upstream's address.
	Authority string `json:"authority,omitempty"`

	// Metadata to send. Values under keys that end in -bin are encoded as
	// gRPC wants it. Default: none.
	Metadata map[string]string `json:"metadata,omitempty"`

	// Speak without TLS, also where the handler's requests use it. Not
	// together with tls. Default: false.
	Plaintext bool `json:"plaintext,omitempty"`

	// Speak TLS, by these options instead of the transport's.
	TLS *TLS `json:"tls,omitempty"`

	config *tls.Config // from TLS
}

// CaddyModule returns the Caddy module information.
func (*GRPC) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  Namespace + ".grpc",
		New: func() caddy.Module { return new(GRPC) },
	}
}

// Provision validates the options, and reads the files of tls.
func (c *GRPC) Provision(ctx caddy.Context) (err error) {
	if err := c.validate(); err != nil {
		return err
	}
	if strings.HasPrefix(c.Service, "/") {
		ctx.Logger().Warn("health_check grpc takes the name of a service, such as users.v1.Users, which never begins with a slash: this looks like a path; "+
			"leave it out to ask for the server as a whole", zap.String("service", c.Service))
	}
	if c.TLS != nil {
		c.config, err = c.TLS.Config()
	}
	return err
}

// validate returns an error that names an option and its value.
func (c *GRPC) validate() error {
	if c.Plaintext && c.TLS != nil {
		return errors.New("plaintext and tls exclude each other")
	}
	if strings.ContainsAny(c.Authority, " \t\r\n/?#@") {
		return fmt.Errorf("authority: '%s' is not a host with or without a port", c.Authority)
	}
	seen := make(map[string]bool)
	for _, key := range slices.Sorted(maps.Keys(c.Metadata)) {
		if err := validMetadata(key, c.Metadata[key]); err != nil {
			return err
		}
		if lower := strings.ToLower(key); seen[lower] {
			return fmt.Errorf("metadata: duplicate key '%s'", lower)
		} else {
			seen[lower] = true
		}
	}
	return nil
}

// validMetadata returns an error for what gRPC does not send, with or without an
// error of its own.
func validMetadata(key, value string) error {
	lower := strings.ToLower(key)
	if key == "" || strings.Trim(lower, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		return fmt.Errorf("metadata: '%s' is not a key: letters, digits, '-', '_' and '.' make one", key)
	}
	if strings.HasPrefix(lower, "grpc-") || slices.Contains([]string{"connection", "content-type", "te", "user-agent"}, lower) {
		return fmt.Errorf("metadata: key '%s' is reserved", key)
	}
	printable := func(r rune) bool { return ' ' <= r && r <= '~' }
	if !strings.HasSuffix(lower, "-bin") && strings.TrimFunc(value, printable) != "" {
		return fmt.Errorf("metadata: value '%s' of '%s' is not printable ASCII; a key that ends in -bin takes any", value, key)
	}
	return nil
}

// Check implements [Checker].
func (c *GRPC) Check(ctx context.Context, t Target) error {
	ctx = withBudget(ctx)
	conn, release, err := open(ctx, t, c.security(t))
	if err != nil {
		return reason(ctx, err)
	}
	defer release()
	client, err := c.client(conn, t)
	if err != nil {
		return reason(ctx, err)
	}
	defer client.Close()
	ctx = metadata.NewOutgoingContext(ctx, metadata.New(c.Metadata))
	answer, err := healthpb.NewHealthClient(client).Check(ctx, &healthpb.HealthCheckRequest{Service: c.Service})
	if err != nil {
		conn.Close() // else closing the client may wait for a last frame
		return reason(ctx, c.describe(err))
	}
	if answer.Status != healthpb.HealthCheckResponse_SERVING {
		return failf("%s", answer.Status)
	}
	return nil
}

// describe returns the reason for the status of a failed call.
func (c *GRPC) describe(err error) error {
	s := status.Convert(err)
	if s.Code() == codes.NotFound {
		return failf("service %q unknown to the server", c.Service)
	}
	text := s.Message()
	if quoted, ok := strings.CutPrefix(text, "connection error: desc = "); ok {
		if inner, err := strconv.Unquote(quoted); err == nil {
			text = inner
		}
	}
	text = strings.TrimPrefix(text, "transport: Error while dialing: ")
	return failf("%s: %s", codeName(s.Code()), plain(text))
}

// codeName returns the code's name in gRPC's documents, such as DEADLINE_EXCEEDED
// for DeadlineExceeded.
func codeName(code codes.Code) string {
	if code == codes.Canceled {
		return "CANCELLED" // spelt differently there
	}
	var name strings.Builder
	for i, r := range code.String() {
		if i > 0 && 'A' <= r && r <= 'Z' {
			name.WriteByte('_')
		}
		name.WriteRune(r)
	}
	return strings.ToUpper(name.String())
}

func init() { cfg.Options("grpc", "health_check", "authority", "metadata", "plaintext", "tls") }

// UnmarshalCaddyfile sets up c from Caddyfile tokens. Syntax:
//
//	grpc [<service>] {
//		authority <value>
//		metadata  <key> <value>
//		plaintext
//		tls { ... }
//	}
func (c *GRPC) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the checker's name
	if d.NextArg() {
		c.Service = d.Val()
		if d.NextArg() {
			return d.Errf("grpc: unexpected argument '%s'", d.Val())
		}
	}
	seen := make(cfg.Seen)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		option := d.Val()
		if option != "metadata" {
			if err := seen.Once(d); err != nil {
				return err
			}
		}
		var err error
		switch option {
		case "authority":
			c.Authority, err = nonEmpty(d)
		case "metadata":
			err = addPair(d, &c.Metadata, strings.ToLower)
		case "plaintext":
			c.Plaintext = true
			err = cfg.Flag(d)
		case "tls":
			c.TLS, err = unmarshalTLS(d)
		default:
			err = cfg.Unknown(d, "grpc")
		}
		if err != nil {
			return err
		}
		if err := c.validate(); err != nil {
			return d.WrapErr(err)
		}
	}
	return nil
}

// Interface guards
var (
	_ Checker               = (*GRPC)(nil)
	_ caddy.Provisioner     = (*GRPC)(nil)
	_ caddyfile.Unmarshaler = (*GRPC)(nil)
)
