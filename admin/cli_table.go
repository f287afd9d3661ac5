package admin

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caddy-evenkeel/evenkeel/internal/orders"
	"github.com/caddy-evenkeel/evenkeel/pool"
)

// writeTables writes pools, their upstreams, and orders for people.
func writeTables(to io.Writer, v shown, now time.Time) {
	if len(v.Pools) == 0 {
		fmt.Fprintln(to, "no pool serves")
	}
	for i := range v.Pools {
		if i > 0 {
			fmt.Fprintln(to)
		}
		writePool(to, &v.Pools[i], now)
	}
	if len(v.Orders) == 0 {
		return
	}
	fmt.Fprintln(to, "\norders in force")
	listed := newTable("  UPSTREAM", "POOL", "ORDER", "OVERRIDES", "GIVEN", "ENDS", "REASON")
	for i := range v.Orders {
		o := &v.Orders[i]
		address, in, ends := o.Address, o.Pool, "-"
		if address == "" {
			address = "(whole pool)"
		}
		if in == "" {
			in = "(all)"
		}
		if o.Ends != nil {
			ends = "in " + age(o.Ends.Sub(now))
		}
		listed.add("  "+address, in, o.String(), overrides(v.Pools, o), age(now.Sub(o.Given))+" ago", ends, o.Reason)
	}
	listed.write(to)
}

func writePool(to io.Writer, p *pool.View, now time.Time) {
	head := fmt.Sprintf("pool %s: %s, %s", p.Name, p.Policy, p.State)
	if p.Reason != "" {
		head += " (" + p.Reason + ")"
	}
	if p.Panic {
		head += ", panic: verdicts and ejections are ignored"
	}
	if p.DownSince != nil && p.State != string(orders.Paused) { // which is told as an outage, too
		head += ", nobody is left since " + age(now.Sub(*p.DownSince))
	}
	if p.Queued > 0 {
		head += fmt.Sprintf(", requests that wait since all are full: %d", p.Queued)
	}
	if p.Held > 0 {
		head += fmt.Sprintf(", requests held: %d", p.Held)
	}
	fmt.Fprintln(to, printable(head))
	if len(p.Upstreams) == 0 {
		fmt.Fprintln(to, "  no upstreams")
		return
	}
	upstreams := newTable("  UPSTREAM", "STATE", "SINCE", "LEVEL", ">WEIGHT", ">SHARE", ">IN FLIGHT", ">LATENCY", "REASON")
	for i := range p.Upstreams {
		u := &p.Upstreams[i]
		address, since, level, latency := u.Address, "-", strconv.Itoa(u.Configured.Level), "-"
		if u.Dialled != "" {
			address += " (" + u.Dialled + ")"
		}
		if u.Since != nil {
			since = age(now.Sub(*u.Since))
		}
		if u.Configured.Backup {
			level = "backup"
		}
		if u.LatencyMS != nil {
			latency = fmt.Sprintf("%.1f ms", *u.LatencyMS)
		}
		inFlight := strconv.Itoa(u.InFlight)
		if u.MaxRequests > 0 {
			inFlight += "/" + strconv.Itoa(u.MaxRequests)
		}
		upstreams.add("  "+address, string(u.State), since, level, weightText(u), fmt.Sprintf("%.0f %%", u.Share*100), inFlight, latency, u.Reason)
	}
	upstreams.write(to)
}

// weightText says the weight that an upstream has, and the configured one where an order
// overrides that.
func weightText(u *pool.UpstreamView) string {
	text := strconv.FormatFloat(math.Round(u.Weight*100)/100, 'f', -1, 64)
	for _, o := range u.Ordered {
		if (o.Weight != nil || keepsAway(o)) && u.Weight != float64(u.Configured.Weight) {
			return fmt.Sprintf("%s (config %d)", text, u.Configured.Weight)
		}
	}
	return text
}

func keepsAway(o *orders.Order) bool { return o.State == orders.Drain || o.State == orders.Maintenance }

// overrides says what the order overrides: of the configuration, or of other orders.
func overrides(pools []pool.View, o *listedOrder) string {
	switch {
	case o.Dormant:
		return "nothing: dormant"
	case o.Address == "":
		return string(orders.Open)
	}
	var all []string
	add := func(text string) {
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	for _, u := range having(pools, o) {
		if !slices.ContainsFunc(u.Ordered, func(by *orders.Order) bool { return by.Pool == o.Pool }) {
			continue // an order for the pool goes before it
		}
		switch {
		case keepsAway(o.Order):
			add(string(orders.Ready))
		case o.State == orders.Ready:
			add("orders for all pools")
		}
		if o.Weight != nil && uint32(*o.Weight) != u.Configured.Weight {
			add(fmt.Sprintf("weight %d", u.Configured.Weight))
		}
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, ", ")
}

// age returns a duration in its two largest units.
func age(d time.Duration) string {
	d = max(d, 0)
	day := 24 * time.Hour
	switch {
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// table is rows of cells, aligned when written.
type table struct {
	right  []bool // the column is aligned to the right
	widths []int  // in characters
	rows   [][]string
}

// newTable returns a table with the titles; > before one aligns it to the right.
func newTable(titles ...string) *table {
	t := &table{right: make([]bool, len(titles)), widths: make([]int, len(titles))}
	for i, title := range titles {
		titles[i], t.right[i] = strings.CutPrefix(title, ">")
	}
	t.add(titles...)
	return t
}

func (t *table) add(cells ...string) {
	for i, cell := range cells {
		cells[i] = printable(cell)
		t.widths[i] = max(t.widths[i], utf8.RuneCountInString(cells[i]))
	}
	t.rows = append(t.rows, cells)
}

func (t *table) write(to io.Writer) {
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			blank := strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell))
			if t.right[i] {
				cell, blank = blank+cell, ""
			}
			line.WriteString(cell + blank + "  ")
		}
		fmt.Fprintln(to, strings.TrimRight(line.String(), " "))
	}
}
