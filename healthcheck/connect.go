package healthcheck

import (
	"context"
	"crypto/tls"
	"net"
)

// open connects to the target, over TLS if config is not nil. The connection is
// closed by release, or when the context ends.
func open(ctx context.Context, t Target, config *tls.Config) (conn net.Conn, release func(), err error) {
	conn, err = t.Connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	raw := conn
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	release = func() {
		conn.Close() // over TLS this may wait for the closing alert, until the context ends
		stop()
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			release()
			return nil, nil, err
		}
	}
	if config != nil {
		client := tls.Client(conn, config)
		conn = client
		if err := client.HandshakeContext(ctx); err != nil {
			release()
			return nil, nil, err
		}
	}
	return conn, release, nil
}

// named returns the configuration with the target's server name, unless it has one
// of its own. Several goroutines may call it.
func named(config *tls.Config, t Target) *tls.Config {
	if config == nil || config.ServerName != "" {
		return config
	}
	config = config.Clone()
	config.ServerName = t.ServerName()
	return config
}
