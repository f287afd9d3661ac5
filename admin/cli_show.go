package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-evenkeel/evenkeel/pool"
)

// show is the command that shows pools and orders.
type show struct {
	where       *where
	pools       []string // only these; none: all
	json, watch bool
	interval    time.Duration
	now         func() time.Time
}

// shown is what is shown: what the admin API has.
type shown struct {
	Pools  []pool.View   `json:"pools"`
	Orders []listedOrder `json:"orders"`
}

const minInterval = 100 * time.Millisecond

func (s *show) run(cmd *cobra.Command) error {
	switch {
	case cmd.Flags().Changed("interval") && !s.watch:
		return failed(exitUsage, "--interval is of no use without --watch")
	case s.interval < minInterval:
		return failed(exitUsage, "--interval: %s is below %s", s.interval, minInterval)
	}
	c, err := s.where.client()
	if err != nil {
		return err
	}
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	text, err := s.frame(ctx, c)
	if err != nil || !s.watch {
		if err == nil {
			_, err = out.Write(text)
		}
		return err
	}
	live := !s.json && isTerminal(out)
	for {
		if err != nil {
			// Caddy may be restarting: go on.
			text = []byte(fmt.Sprintf("%s %s\n", s.now().Format(time.TimeOnly), printable(err.Error())))
		}
		if err := draw(out, text, live); err != nil {
			return err
		}
		if pause(ctx, s.interval) != nil {
			return nil
		}
		text, err = s.frame(ctx, c)
	}
}

// frame returns what is shown now.
func (s *show) frame(ctx context.Context, c *client) ([]byte, error) {
	v, err := s.read(ctx, c)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if !s.json {
		writeTables(&text, v, s.now())
		return text.Bytes(), nil
	}
	encoded, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if !s.watch { // else one line each time
		if err := json.Indent(&text, encoded, "", "  "); err != nil {
			return nil, err
		}
		encoded = bytes.Clone(text.Bytes())
		text.Reset()
	}
	err = printableJSON(append(encoded, '\n'), &text)
	return text.Bytes(), err
}

// read asks for what is shown.
func (s *show) read(ctx context.Context, c *client) (v shown, err error) {
	if err := c.call(ctx, http.MethodGet, "pools", nil, &v.Pools); err != nil {
		return v, err
	}
	if err := c.call(ctx, http.MethodGet, "orders", nil, &v.Orders); err != nil {
		return v, err
	}
	if len(s.pools) == 0 {
		return v, nil
	}
	for _, name := range s.pools {
		if !slices.ContainsFunc(v.Pools, func(p pool.View) bool { return p.Name == name }) {
			return v, failed(exitNotFound, "there is no pool '%s'", name)
		}
	}
	v.Pools = slices.DeleteFunc(v.Pools, func(p pool.View) bool { return !slices.Contains(s.pools, p.Name) })
	v.Orders = slices.DeleteFunc(v.Orders, func(o listedOrder) bool {
		return !slices.Contains(s.pools, o.Pool) && (o.Pool != "" || len(having(v.Pools, &o)) == 0)
	})
	return v, nil
}

// having returns the upstreams that the order is for.
func having(pools []pool.View, o *listedOrder) (all []*pool.UpstreamView) {
	for i := range pools {
		for k := range pools[i].Upstreams {
			u := &pools[i].Upstreams[k]
			if named(u, o.Address) && (o.Pool == "" || o.Pool == u.Pool) {
				all = append(all, u)
			}
		}
	}
	return all
}

// named reports whether the address is one that the upstream goes by.
func named(u *pool.UpstreamView, address string) bool {
	return u.Address == address || u.Dialled == address
}

// isTerminal reports whether somebody looks at what is written.
func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// draw writes a frame of --watch. On a terminal it takes the place of the one before,
// and long lines are cut off.
func draw(out io.Writer, text []byte, live bool) error {
	if live {
		const home, eraseBelow, eraseLine, cut, wrap = "\x1b[H", "\x1b[J", "\x1b[K", "\x1b[?7l", "\x1b[?7h"
		body := bytes.ReplaceAll(text, []byte("\n"), []byte(eraseLine+"\n"))
		text = slices.Concat([]byte(home+cut), body, []byte(eraseBelow+wrap))
	} else if !bytes.HasPrefix(text, []byte("{")) {
		text = append(text, '\n') // a blank line between two
	}
	_, err := out.Write(text)
	return err
}
