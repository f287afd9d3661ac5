package healthcheck

import (
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func TestAgentLines(t *testing.T) {
	weight := func(n uint32, unit Unit) Order { return Order{Weight: WeightOrder{n, unit}} }
	neutral := func(o Order) Report { return Report{Force: Abstains, Order: o} }
	warned := func(warning string, o Order) Report { return Report{Force: Abstains, Order: o, Warning: warning} }
	decides := Report{Force: Decides}
	for line, test := range map[string]struct {
		report Report
		reason string
	}{
		"up":                  {decides, "<nil>"},
		"UP":                  {decides, "<nil>"},
		"up # all is well":    {decides, "<nil>"},
		"down":                {decides, "agent says down"},
		"fail":                {decides, "agent says fail"},
		"Stopped":             {decides, "agent says stopped"},
		"down#disk full":      {decides, "agent says down: disk full"},
		"down # disk, full ":  {decides, "agent says down: disk, full"},
		"fail,#\t#1":          {decides, "agent says fail: #1"},
		"down#":               {decides, "agent says down"},
		"up down":             {decides, "agent says down"},
		"down up":             {decides, "<nil>"},
		"ready":               {neutral(Order{Mode: Ready}), "<nil>"},
		"Drain":               {neutral(Order{Mode: Drain}), "<nil>"},
		"maint":               {neutral(Order{Mode: Maint}), "agent says maint"},
		"maint up":            {Report{Force: Decides, Order: Order{Mode: Maint}}, "<nil>"},
		"drain ready":         {neutral(Order{Mode: Ready}), "<nil>"},
		"75%":                 {neutral(weight(75, Percent)), "<nil>"},
		"0%":                  {neutral(weight(0, Percent)), "<nil>"},
		"25600%":              {neutral(weight(25600, Percent)), "<nil>"},
		"weight:75%":          {neutral(weight(75, Percent)), "<nil>"},
		"WEIGHT:256":          {neutral(weight(256, Absolute)), "<nil>"},
		"weight:0":            {neutral(weight(0, Absolute)), "<nil>"},
		"10% weight:20":       {neutral(weight(20, Absolute)), "<nil>"},
		"weight:20 10%":       {neutral(weight(10, Percent)), "<nil>"},
		"maxconn:30":          {neutral(Order{Limit: 30}), "<nil>"},
		"MaxConn:2147483647":  {neutral(Order{Limit: 2147483647}), "<nil>"},
		"maxconn:0":           {neutral(Order{Limit: NoLimit}), "<nil>"},
		"maxconn:3 maxconn:4": {neutral(Order{Limit: 4}), "<nil>"},
		"up\tready,,50%  maxconn:9, # fine": {
			Report{Force: Decides, Order: Order{Ready, WeightOrder{50, Percent}, 9}}, "<nil>"},

		"weight:257":         {warned("not a weight from 0 to 256: 'weight:257'", Order{}), "<nil>"},
		"weight:-1":          {warned("not a weight from 0 to 256: 'weight:-1'", Order{}), "<nil>"},
		"weight:":            {warned("not a weight from 0 to 256: 'weight:'", Order{}), "<nil>"},
		"weight: 5":          {warned("not a weight from 0 to 256: 'weight:', unknown word '5'", Order{}), "<nil>"},
		"weight:1e2":         {warned("not a weight from 0 to 256: 'weight:1e2'", Order{}), "<nil>"},
		"weight:%":           {warned("not a percentage from 0 to 25600: 'weight:%'", Order{}), "<nil>"},
		"25601%":             {warned("not a percentage from 0 to 25600: '25601%'", Order{}), "<nil>"},
		"12.5%":              {warned("not a percentage from 0 to 25600: '12.5%'", Order{}), "<nil>"},
		"4294967296%":        {warned("not a percentage from 0 to 25600: '4294967296%'", Order{}), "<nil>"},
		"maxconn:2147483648": {warned("not a number from 0 to 2147483647: 'maxconn:2147483648'", Order{}), "<nil>"},
		"maxconn:-1":         {warned("not a number from 0 to 2147483647: 'maxconn:-1'", Order{}), "<nil>"},
		"99999999999999999999999%": {
			warned("not a percentage from 0 to 25600: '99999999999999999999999%'", Order{}), "<nil>"},
		"50% weight:999": {
			warned("not a weight from 0 to 256: 'weight:999'", weight(50, Percent)), "<nil>"},
		"ready loud": {warned("unknown word 'loud'", Order{Mode: Ready}), "<nil>"},
		"down Loud quiet#x": {
			Report{Force: Decides, Warning: "unknown word 'Loud', unknown word 'quiet'"}, "agent says down: x"},

		"":                      {neutral(Order{}), "agent says nothing that it could"},
		" ,\t":                  {neutral(Order{}), "agent says nothing that it could"},
		"# up":                  {neutral(Order{}), "agent says nothing that it could"},
		"%":                     {warned("unknown word '%'", Order{}), "agent says nothing that it could"},
		"-5%":                   {warned("unknown word '-5%'", Order{}), "agent says nothing that it could"},
		"SSH-2.0-x\x00\xff\x1b": {warned("unknown word 'SSH-2.0-x \uFFFD '", Order{}), "agent says nothing that it could"},
	} {
		t.Run(line, func(t *testing.T) {
			got, err := parseLine(line)
			if got.Force != test.report.Force || got.Order != test.report.Order || got.Warning != test.report.Warning {
				t.Errorf("got  %+v\nwant %+v", got, test.report)
			}
			expectReason(t, err, test.reason)
		})
	}
}

// Whatever comes, nothing is ordered that cannot be.
func TestAgentLinesOfAnySort(t *testing.T) {
	words := rapid.OneOf(rapid.String(), rapid.StringMatching(`(weight:|maxconn:)?-?[0-9]{0,20}%?`),
		rapid.SampledFrom([]string{"up", "down", "maint", "ready", "drain", "#", "%", "weight:", "maxconn:"}))
	rapid.Check(t, func(t *rapid.T) {
		line := strings.Join(rapid.SliceOf(words).Draw(t, "words"), rapid.SampledFrom([]string{" ", ",", ""}).Draw(t, "split"))
		r, err := parseLine(line)
		o := r.Order
		if o.Weight.Unit == 0 && o.Weight.Value != 0 || o.Weight.Unit == Absolute && o.Weight.Value > 256 || o.Weight.Value > 25600 || o.Limit < NoLimit {
			t.Fatalf("%+v", o)
		}
		if n := len([]rune(r.Warning)); n > maxReason || err != nil && len([]rune(err.Error())) > maxReason {
			t.Fatalf("a warning of %d characters, and %v", n, err)
		}
	})
}

func TestAgentLineInSingleBytes(t *testing.T) {
	for _, text := range []string{"stopped # lunch\nup", "stopped # lunch\rup", "stopped # lunch"} {
		line, err := readLine(iotest.OneByteReader(strings.NewReader(text)))
		if line != "stopped # lunch" || err != nil {
			t.Errorf("%q: got %q, %v", text, line, err)
		}
	}
}

func TestAgentReadsNoMoreThanItLooksAt(t *testing.T) {
	conn := new(filling)
	_, err := readLine(conn)
	expectReason(t, err, "no line ends in the first 4 KiB")
	if conn.read != maxLine {
		t.Errorf("read %d bytes", conn.read)
	}
}
