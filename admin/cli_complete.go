package admin

import (
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caddy-evenkeel/evenkeel/pool"
)

// completePools completes the names of pools.
func completePools(w *where) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return completions(w, cmd, begun, func(v *pool.View) []cobra.Completion {
			return []cobra.Completion{cobra.CompletionWithDesc(v.Name, v.Policy+", "+v.State)}
		})
	}
}

// completeAddresses completes the addresses of upstreams.
func completeAddresses(w *where) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return completions(w, cmd, begun, func(v *pool.View) (all []cobra.Completion) {
			if only := cmd.Flags().Lookup("pool"); only.Changed && only.Value.String() != v.Name {
				return nil
			}
			for _, u := range v.Upstreams {
				all = append(all, cobra.CompletionWithDesc(u.Address, string(u.State)+" in "+v.Name))
			}
			return all
		})
	}
}

// completeArgs completes the arguments that have the names.
func completeArgs(w *where, names []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) < len(names) {
			switch names[len(args)] {
			case "address":
				return completeAddresses(w)(cmd, args, begun)
			case "pool":
				return completePools(w)(cmd, args, begun)
			case "weight":
				return []cobra.Completion{"default"}, cobra.ShellCompDirectiveNoFileComp
			}
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// completions returns what the function makes of the pools, as far as it begins as given.
func completions(w *where, cmd *cobra.Command, begun string, of func(*pool.View) []cobra.Completion) ([]cobra.Completion, cobra.ShellCompDirective) {
	c, err := w.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c.patience = 0
	var pools []pool.View
	if err := c.call(cmd.Context(), http.MethodGet, "pools", nil, &pools); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var all []cobra.Completion
	for i := range pools {
		for _, completion := range of(&pools[i]) {
			if strings.HasPrefix(completion, begun) {
				word, note, _ := strings.Cut(completion, "\t")
				all = append(all, cobra.CompletionWithDesc(printable(word), printable(note)))
			}
		}
	}
	slices.Sort(all)
	return slices.CompactFunc(all, func(a, b cobra.Completion) bool {
		word, _, _ := strings.Cut(a, "\t")
		other, _, _ := strings.Cut(b, "\t")
		return word == other
	}), cobra.ShellCompDirectiveNoFileComp
}
