package cfg

import (
	"strings"
	"testing"
)

func TestStatuses(t *testing.T) {
	for name, test := range map[string]struct {
		items   []string
		in, out []int
		text    string
	}{
		"code":    {[]string{"204"}, []int{204}, []int{203, 205}, "204"},
		"class":   {[]string{"3xx"}, []int{300, 399}, []int{299, 400}, "3xx"},
		"range":   {[]string{"200-399"}, []int{200, 302, 399}, []int{199, 400}, "200-399"},
		"several": {[]string{"200", "5xx", "401-403"}, []int{200, 500, 402}, []int{201, 400, 404}, "200, 5xx, 401-403"},
		"none":    {nil, nil, []int{0, 200}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := ParseStatuses(test.items)
			if err != nil {
				t.Fatal(err)
			}
			for _, status := range test.in {
				if !l.Contain(status) {
					t.Errorf("%d is not in %v", status, test.items)
				}
			}
			for _, status := range test.out {
				if l.Contain(status) {
					t.Errorf("%d is in %v", status, test.items)
				}
			}
			if l.String() != test.text {
				t.Errorf("text is %q, want %q", l.String(), test.text)
			}
		})
	}
}

func TestStatusErrors(t *testing.T) {
	for _, item := range []string{"", "-", "20", "2000", "2x", "xx", "0xx", "+20", "0x1", "200-", "-200", "200-2xx", "099", "300-200"} {
		if _, err := ParseStatuses([]string{"200", item}); err == nil || !strings.Contains(err.Error(), "'"+item+"'") {
			t.Errorf("%q: got %v", item, err)
		}
	}
}
