package healthcheck

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// maxMessage bounds the answer, and its header: both are tiny.
	maxMessage = 64 << 10

	// connBuffer is the size of a probe's read and of its write buffer.
	connBuffer = 4 << 10
)

// security returns the TLS configuration for the target; nil means none.
func (c *GRPC) security(t Target) *tls.Config {
	var config *tls.Config
	switch {
	case c.Plaintext:
		return nil
	case c.TLS != nil:
		config = named(c.config, t).Clone()
	case t.TLS != nil:
		config = t.TLS.Clone()
		// The transport's name is for its own requests; it may have
		// placeholders, which the transport itself fills in.
		config.ServerName = newReplacer(t).ReplaceAll(config.ServerName, "")
		if config.ServerName == "" || t.Host != "" {
			config.ServerName = t.ServerName()
		}
	default:
		return nil
	}
	config.NextProtos = []string{"h2"}
	return config
}

// client returns a client that uses conn and never dials again: when conn ends, so
// does the probe.
func (c *GRPC) client(conn net.Conn, t Target) (*grpc.ClientConn, error) {
	secure := insecure.NewCredentials()
	if over, ok := conn.(*tls.Conn); ok {
		state := over.ConnectionState()
		if state.NegotiatedProtocol != "h2" {
			return nil, errors.New("tls: the upstream does not offer HTTP/2 (ALPN h2)")
		}
		secure = handshaken{secure, state}
	}
	only := make(chan net.Conn, 1)
	only <- conn
	dial := func(context.Context, string) (net.Conn, error) {
		select {
		case conn := <-only:
			return conn, nil
		default:
			return nil, errClosed
		}
	}
	return grpc.NewClient("passthrough:///upstream",
		grpc.WithContextDialer(dial),
		grpc.WithTransportCredentials(secure),
		grpc.WithAuthority(c.authority(t)),
		grpc.WithUserAgent(userAgent),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithDisableHealthCheck(),
		grpc.WithMaxHeaderListSize(maxMessage),
		grpc.WithReadBufferSize(connBuffer),
		grpc.WithWriteBufferSize(connBuffer),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
	)
}

func (c *GRPC) authority(t Target) string {
	switch {
	case c.Authority != "":
		return c.Authority
	case t.Host != "":
		return t.Host
	}
	return hostPort(t)
}

// handshaken are the credentials of a connection whose TLS handshake is done. gRPC's
// own handshake would use the authority as server name.
type handshaken struct {
	credentials.TransportCredentials
	state tls.ConnectionState
}

func (s handshaken) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return conn, credentials.TLSInfo{
		State:          s.state,
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
	}, nil
}

// Info makes the request's :scheme https.
func (s handshaken) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

func (s handshaken) Clone() credentials.TransportCredentials { return s }
