package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// taskEnv has the file with what another process of this test is to do.
const taskEnv = "EVENKEEL_TEST_TASK"

// task is a site, and what is asked of it.
type task struct {
	Site  string
	Asked []asked
}

type asked struct {
	Path   string
	Header []string // keys and values by turns
}

// told is what another process was answered.
type told struct {
	Status  int
	From    string
	Cookies []string
}

// elsewhere runs the site in a Caddy in a process of its own, which knows nothing
// of this one, and returns what it answers.
func elsewhere(t *testing.T, site string, asks ...asked) (answers []told) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "task")
	writeJSON(t, file, task{site, asks})
	cmd := exec.Command(os.Args[0], "-test.run=^TestInAProcessOfItsOwn$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), taskEnv+"="+file)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	readJSON(t, file, &answers)
	return answers
}

// TestInAProcessOfItsOwn is the other process.
func TestInAProcessOfItsOwn(t *testing.T) {
	file := os.Getenv(taskEnv)
	if file == "" {
		return
	}
	var todo task
	readJSON(t, file, &todo)
	p := run(t, todo.Site)
	var answers []told
	for _, ask := range todo.Asked {
		a := p.get(ask.Path, ask.Header...)
		if a.err != nil {
			t.Fatal(a.err)
		}
		answers = append(answers, told{a.status, a.from(), a.header.Values("Set-Cookie")})
	}
	writeJSON(t, file, answers)
}

func writeJSON(t *testing.T, file string, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readJSON(t *testing.T, file string, v any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}
