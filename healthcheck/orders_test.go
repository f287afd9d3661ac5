package healthcheck

import (
	"testing"
	"time"
)

func TestOrdersOfNothing(t *testing.T) {
	var o Orders
	if o.Weight(0) != 0 || o.Weight(7) != 7 || o.Limit() != 0 || o.Maint() || o.Out() != "" || !o.Resumed().IsZero() || o.String() != "none" {
		t.Errorf("%+v", o)
	}
}

func TestOrders(t *testing.T) {
	weight := func(n uint32, unit Unit) Order { return Order{Weight: WeightOrder{n, unit}} }
	drain, maint, ready := Order{Mode: Drain}, Order{Mode: Maint}, Order{Mode: Ready}
	for name, test := range map[string]struct {
		orders []Order
		weight float64 // of 8
		limit  int
		maint  bool
		out    string
		text   string
	}{
		"nothing":                 {[]Order{{}}, 8, 0, false, "", "none"},
		"percentage":              {[]Order{weight(75, Percent)}, 6, 0, false, "", "weight 75%"},
		"more than all":           {[]Order{weight(25600, Percent)}, 2048, 0, false, "", "weight 25600%"},
		"less than one":           {[]Order{weight(1, Percent)}, 0.08, 0, false, "", "weight 1%"},
		"absolute":                {[]Order{weight(100, Absolute)}, 100, 0, false, "", "weight 100"},
		"the last counts":         {[]Order{weight(100, Absolute), weight(50, Percent)}, 4, 0, false, "", "weight 50%"},
		"as before":               {[]Order{weight(50, Percent), {}, {Limit: 3}}, 4, 3, false, "", "weight 50%, limit 3"},
		"restored":                {[]Order{weight(5, Absolute), weight(100, Percent)}, 8, 0, false, "", "none"},
		"none of it":              {[]Order{weight(0, Percent)}, 0, 0, false, "weight set to 0 by its agent", "weight 0%"},
		"none":                    {[]Order{weight(0, Absolute)}, 0, 0, false, "weight set to 0 by its agent", "weight 0"},
		"drain":                   {[]Order{drain}, 0, 0, false, "drained by its agent", "drain"},
		"maint":                   {[]Order{drain, maint}, 0, 0, true, "in maintenance by its agent", "maint"},
		"drain again":             {[]Order{maint, drain}, 0, 0, false, "drained by its agent", "drain"},
		"drain outlasts a weight": {[]Order{drain, weight(50, Percent)}, 0, 0, false, "drained by its agent", "drain, weight 50%"},
		"ready":                   {[]Order{maint, weight(50, Percent), ready}, 4, 0, false, "", "weight 50%"},
		"ready does not weigh":    {[]Order{weight(0, Absolute), ready}, 0, 0, false, "weight set to 0 by its agent", "weight 0"},
		"no limit":                {[]Order{{Limit: 3}, {Limit: NoLimit}}, 8, 0, false, "", "none"},
		"all":                     {[]Order{{Mode: Drain, Weight: WeightOrder{5, Absolute}, Limit: 9}}, 0, 9, false, "drained by its agent", "drain, weight 5, limit 9"},
	} {
		t.Run(name, func(t *testing.T) {
			var o Orders
			for i, order := range test.orders {
				o = o.after(order, time.Unix(int64(i), 0))
			}
			if w := o.Weight(8); w != test.weight {
				t.Errorf("weight %v, want %v", w, test.weight)
			}
			if o.Limit() != test.limit || o.Maint() != test.maint || o.Out() != test.out || o.String() != test.text {
				t.Errorf("limit %d, maint %v, %q, %q", o.Limit(), o.Maint(), o.Out(), o)
			}
		})
	}
}

func TestOrdersResumeWhenTheLastReasonIsGone(t *testing.T) {
	var o Orders
	var resumed time.Time
	for i, step := range []struct {
		order   Order
		resumes bool
	}{
		{Order{Mode: Ready}, false}, // it has never been out
		{Order{Mode: Drain}, false},
		{Order{Weight: WeightOrder{0, Percent}}, false},
		{Order{Mode: Ready}, false}, // its weight is still 0
		{Order{Weight: WeightOrder{1, Percent}}, true},
		{Order{Weight: WeightOrder{2, Percent}}, false},
		{Order{Mode: Maint}, false},
		{Order{Mode: Drain}, false},
		{Order{Mode: Ready, Weight: WeightOrder{100, Percent}}, true},
	} {
		now := time.Unix(int64(i+1), 0)
		if o = o.after(step.order, now); step.resumes {
			resumed = now
		}
		if o.Resumed() != resumed {
			t.Fatalf("step %d: resumed at %v, want %v", i, o.Resumed(), resumed)
		}
	}
}
