package selectors

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/caddy-evenkeel/evenkeel/pool/pooltest"
)

// Whatever two policies and others set and undo: a policy removes what it has set,
// and nothing else.
func TestResponseEditorUndoesItsOwn(t *testing.T) {
	type owned struct {
		owner int // of the two policies, or 2 for anybody else
		headerLine
	}
	rapid.Check(t, func(t *rapid.T) {
		r, header := pooltest.NewRequest(), make(http.Header)
		policies := []responseEditor{newResponseEditor(new(int), "Set-Cookie", "X-A"), newResponseEditor(new(int), "Set-Cookie", "X-B")}
		fields := []string{"X-A", "X-B"}
		var all []owned
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"policy sets": func(t *rapid.T) {
				next++
				n := rapid.IntRange(0, 1).Draw(t, "policy")
				l := headerLine{header, "Set-Cookie", fmt.Sprint("c=", next)}
				if rapid.Bool().Draw(t, "field") {
					l = headerLine{header, fields[n], fmt.Sprint(next)}
					all = slices.DeleteFunc(all, func(o owned) bool { return o.field == l.field })
				}
				policies[n].set(r, header, l.field, l.value)
				all = append(all, owned{n, l})
			},
			"another sets": func(*rapid.T) {
				next++
				l := headerLine{header, "Set-Cookie", fmt.Sprint("c=", next)}
				header.Add(l.field, l.value)
				all = append(all, owned{2, l})
			},
			"policy undoes": func(t *rapid.T) {
				n := rapid.IntRange(0, 1).Draw(t, "policy")
				if rapid.Bool().Draw(t, "header is at hand") {
					policies[n].undo(r, header)
				} else {
					policies[n].undo(r, nil)
				}
				all = slices.DeleteFunc(all, func(o owned) bool { return o.owner == n })
			},
			"": func(t *rapid.T) {
				want := make(http.Header)
				for _, o := range all {
					want.Add(o.field, o.value)
				}
				if fmt.Sprint(header) != fmt.Sprint(want) {
					t.Fatalf("%v, want %v", header, want)
				}
			},
		})
	})
}

// What has removed a line from the response need not tell.
func TestResponseEditorUndoesWhatIsGone(t *testing.T) {
	r, header := pooltest.NewRequest(), make(http.Header)
	e := newResponseEditor(t, "Set-Cookie", "X-A")
	e.set(r, header, "Set-Cookie", "c=1")
	e.set(r, header, "X-A", "1")
	header.Del("Set-Cookie")
	header.Set("X-A", "of another")
	header.Add("Set-Cookie", "d=1")
	for range 2 {
		e.undo(r, header)
		if fmt.Sprint(header) != "map[Set-Cookie:[d=1] X-A:[of another]]" {
			t.Errorf("%v", header)
		}
	}
}

// Without a request, or one that is not of Caddy's, nothing can be kept of it.
func TestResponseEditorWithoutAReplacer(t *testing.T) {
	for _, r := range []*http.Request{nil, new(http.Request)} {
		header := make(http.Header)
		e := newResponseEditor(t, "Set-Cookie", "X-A")
		e.set(r, header, "X-A", "1")
		e.set(r, header, "X-A", "2")
		e.set(r, header, "Set-Cookie", "c=1")
		e.undo(r, header)
		if fmt.Sprint(header) != "map[Set-Cookie:[c=1] X-A:[2]]" {
			t.Errorf("%v", header)
		}
	}
}

func TestResponseEditorWithoutEdits(t *testing.T) {
	e := newResponseEditor(t, "Set-Cookie")
	e.undo(pooltest.NewRequest(), nil)
	e.undo(nil, nil)
}
