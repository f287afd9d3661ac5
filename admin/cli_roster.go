package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
	"github.com/caddy-evenkeel/evenkeel/roster"
)

// rosterCommands returns the commands that are about a member of a roster.
func rosterCommands(w *where) []*cobra.Command {
	return []*cobra.Command{addCommand(w), removeCommand(w)}
}

func addCommand(w *where) *cobra.Command {
	o, weight := &order{where: w}, 0
	cmd := &cobra.Command{
		Use: "add <roster> <address>", Short: "Add an upstream to a roster",
		Long: `Adds the upstream to the source 'dynamic roster' of the name; with --weight, it
gives a member that is there this weight.`,
		Example: "  $ caddy lb add app 10.0.0.3:80 --weight 2",
	}
	cmd.Flags().IntVar(&weight, "weight", 0, "Weight of the member (default: what the option weight of the policy says)")
	_ = cmd.RegisterFlagCompletionFunc("weight", cobra.NoFileCompletions)
	o.runs(cmd, func(ctx context.Context, c *client, out io.Writer, args []string) error {
		body := map[string]any{}
		if cmd.Flags().Changed("weight") {
			if weight < 0 || weight > orders.MaxWeight {
				return failed(exitUsage, "--weight: %d is not between 0 and %d", weight, orders.MaxWeight)
			}
			body["weight"] = weight
		}
		var m roster.MemberView
		if err := c.call(ctx, http.MethodPut, memberPath(args), body, &m); err != nil {
			return err
		}
		tellMember(out, args[0], &m)
		return nil
	}, "roster", "address of the upstream")
	return cmd
}

func removeCommand(w *where) *cobra.Command {
	o := &order{where: w}
	cmd := &cobra.Command{
		Use: "remove <roster> <address>", Short: "Remove an upstream from a roster",
		Long: `The upstream gets no new requests, but those of its sessions, and leaves the roster
once nothing is in flight there, after ten minutes at the latest.

With --wait it returns once the upstream has left, in this instance of Caddy.`,
		Example: "  $ caddy lb remove app 10.0.0.1:80 --wait --timeout 5m",
	}
	cmd.Flags().BoolVar(&o.wait, "wait", false, "Wait until the upstream has left")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "Give up waiting after this time; the removal stands (default: wait for ever)")
	_ = cmd.RegisterFlagCompletionFunc("timeout", cobra.NoFileCompletions)
	o.runs(cmd, func(ctx context.Context, c *client, out io.Writer, args []string) error {
		switch {
		case !o.wait && cmd.Flags().Changed("timeout"):
			return failed(exitUsage, "--timeout is of no use without --wait")
		case o.timeout < 0:
			return failed(exitUsage, "--timeout: %s is below zero", o.timeout)
		}
		m := roster.MemberView{Address: args[1], State: "gone"}
		if err := c.call(ctx, http.MethodDelete, memberPath(args), nil, &m); err != nil {
			return err
		}
		tellMember(out, args[0], &m)
		if !o.wait {
			return nil
		}
		return waitGone(ctx, c, out, args, o.timeout)
	}, "roster", "address of the upstream")
	return cmd
}

// memberPath returns the path of the member that the arguments name: a roster, and an
// address.
func memberPath(args []string) string {
	return "rosters/" + url.PathEscape(args[0]) + "/members/" + url.PathEscape(args[1])
}

// tellMember says what is now with the member.
func tellMember(out io.Writer, in string, m *roster.MemberView) {
	weight := "as configured"
	if m.Weight != nil {
		weight = fmt.Sprint(*m.Weight)
	}
	fmt.Fprintf(out, "%s in %s: %s, weight %s; in flight: %d\n", printable(m.Address), printable(in), printable(m.State), weight, m.InFlight)
}

// waitGone waits until the roster no longer has the member. A timeout of 0 is none.
func waitGone(ctx context.Context, c *client, out io.Writer, args []string, timeout time.Duration) error {
	patiently := *c
	patiently.patience = waitPatient
	limited, cancel := ctx, context.CancelFunc(func() {})
	if timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, timeout)
	}
	defer cancel()
	var m roster.MemberView
	for {
		err := patiently.call(limited, http.MethodGet, memberPath(args), nil, &m)
		if exitCode(err) == exitNotFound {
			fmt.Fprintf(out, "%s: it has left %s\n", printable(args[1]), printable(args[0]))
			return nil
		}
		if err == nil {
			err = pause(limited, pollEvery)
		}
		switch {
		case err == nil:
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			return failed(exitTimedOut, "after %s, still in flight on %s: %d; the removal stands", timeout, args[1], m.InFlight)
		default:
			return err
		}
	}
}
