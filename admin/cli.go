package admin

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:      "load-balancer",
		Short:     "Shows the upstreams of a running Caddy, and gives orders for them",
		CobraFunc: build,
	})
}

const longHelp = `Shows the pools and upstreams of a running Caddy, and gives orders for them:
drain, maintenance, ready, weight; pause and resume for a whole pool; add and remove
for the members of a roster.

Orders take effect at once, without a reload. They are kept in Caddy's storage:
they last until they are withdrawn, or until their --ttl is over, and every
instance that shares the storage obeys.

Without a subcommand it shows a table. A weight of '5 (config 3)' is one that an
order gives instead of the configured one. Below the pools are the orders in
force, what they override, and which are dormant: no pool has what they are for.

Exit codes: 0 done, 2 wrong usage, 3 no such upstream or pool, 4 conflict (the
upstream is ordered otherwise, or has no health check), 5 Caddy does not answer,
6 timed out, 1 anything else.`

const examples = `  $ caddy load-balancer
  $ caddy lb --watch --pool web
  $ caddy lb --json | jq '.pools[].upstreams[] | select(.state != "up")'
  $ caddy lb drain 10.0.0.1:80 --wait --timeout 5m --reason "kernel update"
  $ caddy lb ready 10.0.0.1:80
  $ caddy lb maintenance 10.0.0.1:80 --ttl 30m
  $ caddy lb weight 10.0.0.1:80 5
  $ caddy lb weight 10.0.0.1:80 default
  $ caddy lb check 10.0.0.1:80
  $ caddy lb pause web --ttl 1m && migrate-database; caddy lb resume web
  $ caddy lb add app 10.0.0.3:80 --weight 2
  $ caddy lb remove app 10.0.0.1:80 --wait`

// where is how the flags say where Caddy is administered.
type where struct{ address, config, adapter string }

// client returns a client of the Caddy that the flags mean.
func (w *where) client() (*client, error) {
	address, err := caddycmd.DetermineAdminAPIAddress(w.address, nil, w.config, w.adapter)
	if err != nil {
		return nil, fmt.Errorf("finding the admin address: %w", err)
	}
	return newClient(address)
}

// build makes the command, and those below it.
func build(cmd *cobra.Command) {
	w := new(where)
	cmd.Use, cmd.Aliases = "load-balancer", []string{"lb"}
	cmd.Long, cmd.Example = longHelp, examples
	flags := cmd.PersistentFlags()
	flags.StringVar(&w.address, "address", "", "The admin API's address, if not the default or the config's")
	flags.StringVarP(&w.config, "config", "c", "", "Configuration file that has the admin API's address")
	flags.StringVarP(&w.adapter, "adapter", "a", "", "Name of the adapter of the configuration file")
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return exit(cmd, &failure{exitUsage, err}) })
	_ = cmd.RegisterFlagCompletionFunc("address", cobra.NoFileCompletions)

	s := show{where: w, now: time.Now}
	cmd.Flags().StringArrayVar(&s.pools, "pool", nil, "Show this pool only; may be given several times")
	cmd.Flags().BoolVar(&s.json, "json", false, "Print JSON: pools and orders as the admin API has them")
	cmd.Flags().BoolVarP(&s.watch, "watch", "w", false, "Show it again and again, until interrupted")
	cmd.Flags().DurationVar(&s.interval, "interval", time.Second, "Time between two refreshes of --watch")
	_ = cmd.RegisterFlagCompletionFunc("pool", completePools(w))
	_ = cmd.RegisterFlagCompletionFunc("interval", cobra.NoFileCompletions)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		text := "unknown subcommand '" + args[0] + "'"
		if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
			text += "; did you mean " + strings.Join(like, " or ") + "?"
		}
		return exit(cmd, &failure{exitUsage, errors.New(text + "; see caddy load-balancer --help")})
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return exit(cmd, s.run(cmd)) }
	cmd.AddCommand(upstreamCommands(w)...)
	cmd.AddCommand(poolCommands(w)...)
	cmd.AddCommand(rosterCommands(w)...)
}

// takes has the command take arguments of the names, one each.
func takes(cmd *cobra.Command, names ...string) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			for i, arg := range args {
				if arg == "" {
					return exit(cmd, failed(exitUsage, "the %s is empty", names[i]))
				}
			}
			return nil
		}
		return exit(cmd, failed(exitUsage, "%d arguments are not what it takes: %s", len(args), cmd.UseLine()))
	}
}

// exit returns the error as Caddy's main function makes an exit code of it, and prints
// it: Caddy itself would log it.
func exit(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "Error:", printable(err.Error()))
	cmd.SilenceErrors = true
	code := exitCode(err)
	if code <= exitOther {
		return err
	}
	return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return code, nil })(cmd, nil)
}

// printable returns the text without what a terminal takes for a command or does not
// show. Texts come from configurations, upstreams and operators.
func printable(text string) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if !strings.ContainsFunc(text, unprintable) {
		return text
	}
	var b strings.Builder
	for _, c := range text {
		switch {
		case !unprintable(c):
			b.WriteRune(c)
		case c > 0xffff:
			fmt.Fprintf(&b, "\\U%08x", c)
		default:
			fmt.Fprintf(&b, "\\u%04x", c)
		}
	}
	return b.String()
}

func unprintable(c rune) bool { return !unicode.IsPrint(c) }

// printableJSON does so for JSON, in which the escapes mean the same characters.
func printableJSON(text []byte, to io.Writer) error {
	var b strings.Builder
	for _, c := range string(text) {
		switch {
		case c == '\n' || !unprintable(c):
			b.WriteRune(c)
		case c > 0xffff:
			high, low := utf16.EncodeRune(c)
			fmt.Fprintf(&b, "\\u%04x\\u%04x", high, low)
		default:
			fmt.Fprintf(&b, "\\u%04x", c)
		}
	}
	_, err := io.WriteString(to, b.String())
	return err
}
