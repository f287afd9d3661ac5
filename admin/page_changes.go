package admin

import (
	"encoding/json"
	"slices"

	"github.com/caddy-evenkeel/evenkeel/pool"
)

// changes is what has changed on the page, as its script reads it. Elements are named by
// their IDs.
type changes struct {
	Shape   string               `json:"shape"`
	Texts   map[string]string    `json:"texts,omitempty"`   // texts of elements
	States  map[string]pool.Code `json:"states,omitempty"`  // states of rows
	Numbers map[string]numbers   `json:"numbers,omitempty"` // numbers of rows
	Orders  *[]pageOrder         `json:"orders,omitempty"`  // all of them; absent where none has changed
	Events  *[]pageEvent         `json:"events,omitempty"`  // likewise
}

// MarshalJSON writes the numbers in short: there are three for each row.
func (n numbers) MarshalJSON() ([]byte, error) {
	return json.Marshal([]float64{n.Flying, n.Share, n.Latency})
}

// all returns the model as changes of a page that has nothing.
func (m *pageModel) all() *changes {
	c := &changes{Shape: m.Shape, Texts: map[string]string{"summary": m.Summary}, States: make(map[string]pool.Code),
		Numbers: make(map[string]numbers), Orders: &m.Orders, Events: &m.Events}
	for i := range m.Pools {
		p := &m.Pools[i]
		c.Texts[p.ID+"s"] = p.Summary
		for j := range p.Groups {
			g := &p.Groups[j]
			if g.Name != "" {
				c.Texts[g.ID+"s"] = g.Summary
			}
			for k := range g.Rows {
				r := &g.Rows[k]
				c.States[r.ID], c.Numbers[r.ID] = r.State, r.numbers
				c.Texts[r.ID+"w"], c.Texts[r.ID+"t"], c.Texts[r.ID+"g"] = r.Why, r.Since, r.Weight
				c.Texts[r.ID+"s"] = r.Word()
				c.Texts[r.ID+"f"], c.Texts[r.ID+"h"], c.Texts[r.ID+"l"] = r.FlyingText(), r.ShareText(), r.LatencyText()
			}
		}
	}
	return c
}

// since returns the changes after those before, which have the same shape.
func (c *changes) since(before *changes) *changes {
	d := &changes{Shape: c.Shape, Texts: differing(c.Texts, before.Texts), States: differing(c.States, before.States),
		Numbers: differing(c.Numbers, before.Numbers)}
	if !slices.Equal(*c.Orders, *before.Orders) {
		d.Orders = c.Orders
	}
	if !slices.Equal(*c.Events, *before.Events) {
		d.Events = c.Events
	}
	return d
}

// differing returns what of now differs from before.
func differing[V comparable](now, before map[string]V) map[string]V {
	d := make(map[string]V)
	for k, v := range now {
		if old, ok := before[k]; !ok || old != v {
			d[k] = v
		}
	}
	return d
}
