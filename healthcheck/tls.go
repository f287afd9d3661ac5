package healthcheck

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-evenkeel/evenkeel/internal/cfg"
)

// TLS has the options by which a checker encrypts connections of its own.
type TLS struct {
	// PEM files with the certificates of the authorities to trust. Default:
	// those that the system trusts.
	CA []string `json:"ca,omitempty"`

	// Certificate to present to the upstream. Default: none.
	ClientAuth *ClientAuth `json:"client_auth,omitempty"`

	// Name that the upstream's certificate must bear, also sent as SNI.
	// Default: the check's `host`, else the upstream's host.
	ServerName string `json:"server_name,omitempty"`

	// Accept any certificate. Anyone on the path may then answer for the
	// upstream. Default: false.
	InsecureSkipVerify bool `json:"insecure_skip_verify,omitempty"`
}

// ClientAuth is a client certificate.
type ClientAuth struct {
	// PEM file with the certificate, and those that lead to its authority.
	Cert string `json:"cert"`

	// PEM file with the certificate's private key.
	Key string `json:"key"`
}

// Config reads the files and returns the client configuration. Without server_name
// the server name is empty, for the probe to set. The error names option and file.
func (t *TLS) Config() (*tls.Config, error) {
	c := &tls.Config{
		ServerName:         t.ServerName,
		InsecureSkipVerify: t.InsecureSkipVerify, //nolint:gosec // it is what the option is for
	}
	if len(t.CA) > 0 {
		c.RootCAs = x509.NewCertPool()
	}
	for _, file := range t.CA {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("tls: ca: %w", err)
		}
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls: ca: no certificate in %s", file)
		}
	}
	if a := t.ClientAuth; a != nil {
		if a.Cert == "" || a.Key == "" {
			return nil, errors.New("tls: client_auth: needs both cert and key")
		}
		pair, err := tls.LoadX509KeyPair(a.Cert, a.Key)
		if err != nil {
			return nil, fmt.Errorf("tls: client_auth: %s and %s: %w", a.Cert, a.Key, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func init() { cfg.Options("tls", "", "ca", "client_auth", "server_name", "insecure_skip_verify") }

// UnmarshalCaddyfile sets up t from Caddyfile tokens. Syntax:
//
//	tls {
//		ca          <file...>
//		client_auth <cert> <key>
//		server_name <name>
//		insecure_skip_verify
//	}
func (t *TLS) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume "tls"
	if err := cfg.NoArgs(d); err != nil {
		return err
	}
	seen := make(cfg.Seen)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.Once(d); err != nil {
			return err
		}
		var err error
		switch d.Val() {
		case "ca":
			t.CA, err = cfg.Args(d, 1, -1)
		case "client_auth":
			var pair []string
			if pair, err = cfg.Args(d, 2, 2); err == nil {
				t.ClientAuth = &ClientAuth{Cert: pair[0], Key: pair[1]}
			}
		case "server_name":
			t.ServerName, err = nonEmpty(d)
		case "insecure_skip_verify":
			t.InsecureSkipVerify = true
			err = cfg.Flag(d)
		default:
			err = cfg.Unknown(d, "tls")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// unmarshalTLS parses the option tls of a checker, at the cursor.
func unmarshalTLS(d *caddyfile.Dispenser) (*TLS, error) {
	t := new(TLS)
	return t, t.UnmarshalCaddyfile(d.NewFromNextSegment())
}

// Interface guard
var _ caddyfile.Unmarshaler = (*TLS)(nil)
