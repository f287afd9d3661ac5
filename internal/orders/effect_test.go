package orders

import "testing"

func TestEffectGoesBeforeAnother(t *testing.T) {
	zero, five := 0, 5
	drain := Effect{State: Drain, StateBy: &Order{Reason: "removed"}, Weight: &zero, WeightBy: &Order{Reason: "low"}}
	for name, test := range map[string]struct {
		first         Effect
		state, weight string // reasons
	}{
		"nothing":     {Effect{}, "removed", "low"},
		"ready":       {Effect{StateBy: &Order{State: Ready, Reason: "back"}}, "removed", "low"},
		"maintenance": {Effect{State: Maintenance, StateBy: &Order{Reason: "moved"}}, "moved", "low"},
		"weight":      {Effect{Weight: &five, WeightBy: &Order{Reason: "high"}}, "removed", "high"},
	} {
		e := test.first.Or(drain)
		if e.StateBy.Reason != test.state || e.WeightBy.Reason != test.weight || (e.State == Maintenance) != (name == "maintenance") ||
			(*e.Weight == five) != (name == "weight") {
			t.Errorf("%s: %+v by %+v and %+v", name, e, e.StateBy, e.WeightBy)
		}
	}
	ready := Effect{StateBy: &Order{State: Ready}}
	if e := ready.Or(Effect{}); e != ready {
		t.Errorf("%+v", e)
	}
}
