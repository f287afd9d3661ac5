package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/caddyserver/certmagic"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
	_ "github.com/caddy-evenkeel/evenkeel/selectors"
)

// memory is a storage that a test can have refuse orders.
type memory struct {
	certmagic.Storage `json:"-"`
}

var kept struct {
	sync.Mutex
	values  map[string][]byte
	refuses bool
}

func (memory) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "caddy.storage.test", New: func() caddy.Module { return new(memory) }}
}

func (*memory) UnmarshalCaddyfile(*caddyfile.Dispenser) error { return nil }

func (m *memory) CertMagicStorage() (certmagic.Storage, error) { return m, nil }

func (*memory) Store(_ context.Context, key string, value []byte) error {
	kept.Lock()
	defer kept.Unlock()
	if kept.refuses {
		return errors.New("no space left")
	}
	kept.values[key] = value
	return nil
}

func (*memory) Load(_ context.Context, key string) ([]byte, error) {
	kept.Lock()
	defer kept.Unlock()
	if value, ok := kept.values[key]; ok {
		return value, nil
	}
	return nil, fs.ErrNotExist
}

func (*memory) Delete(_ context.Context, key string) error {
	kept.Lock()
	defer kept.Unlock()
	delete(kept.values, key)
	return nil
}

func (*memory) List(_ context.Context, prefix string, _ bool) (keys []string, err error) {
	kept.Lock()
	defer kept.Unlock()
	for key := range kept.values {
		if strings.HasPrefix(key, prefix+"/") {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// config has the pools that the tests know.
const config = `{
	admin off
	persist_config off
	auto_https off
	storage test
	log {
		output discard
	}
}
http://127.0.0.1:0 {
	reverse_proxy /one/* 10.0.0.1:80 [2001:db8::1]:8080 unix//run/app.sock {env.EVENKEEL_TEST_UPSTREAM}:80 {http.request.host}:81 {
		lb_policy weighted_random {
			name one
			weight 3 10.0.0.1:80
		}
	}
	reverse_proxy /two/* 10.0.0.1:80 10.0.0.2:80 {
		lb_policy managed round_robin {
			name two
		}
	}
}
`

func TestMain(m *testing.M) {
	kept.values = make(map[string][]byte)
	caddy.RegisterModule(memory{})
	os.Setenv("EVENKEEL_TEST_UPSTREAM", "10.0.0.9")
	text, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(config), map[string]any{"filename": "Caddyfile"})
	if err == nil {
		err = caddy.Load(text, true)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := caddy.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// answered is what the API answered.
type answered struct {
	*httptest.ResponseRecorder
	err caddy.APIError
}

// ask asks the API as Caddy's admin server has it; header is keys and values by turns. The
// content type of a body is JSON unless the header says otherwise.
func ask(t *testing.T, method, path, body string, header ...string) answered {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return serveAs(t, r)
}

func serveAs(t *testing.T, r *http.Request) (a answered) {
	t.Helper()
	a.ResponseRecorder = httptest.NewRecorder()
	if err := serve(a, r); err != nil {
		if !errors.As(err, &a.err) {
			t.Fatalf("not an APIError: %v", err)
		}
		a.WriteHeader(a.err.HTTPStatus)
		io.WriteString(a, a.err.Err.Error())
	}
	return a
}

// expect tests the status of the answer, and that its body has the text.
func (a answered) expect(t *testing.T, status int, text string) answered {
	t.Helper()
	if a.Code != status || !strings.Contains(a.Body.String(), text) {
		t.Errorf("got %d %s, want %d %s", a.Code, a.Body, status, text)
	}
	return a
}

// decode decodes the body of the answer.
func decode[T any](t *testing.T, a answered) (into T) {
	t.Helper()
	if err := json.Unmarshal(a.Body.Bytes(), &into); err != nil {
		t.Fatalf("%v: %s", err, a.Body)
	}
	return into
}

// withoutOrders ends all orders when the test ends.
func withoutOrders(t *testing.T) {
	t.Cleanup(func() {
		for _, o := range orders.Default.List() {
			if _, err := orders.Default.Change(context.Background(), o.Pool, o.Address, "", withdraw); err != nil {
				t.Error(err)
			}
		}
	})
}
