package integration

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// browser is a page in a headless Chromium, which is told what to do over a pipe: by
// the DevTools protocol, a JSON text a message, each with a zero byte behind it.
type browser struct {
	t       *testing.T
	to      *os.File
	session string

	mu       sync.Mutex // guards all below
	last     int        // number of a command
	answers  map[int]chan json.RawMessage
	requests []string // URLs
	problems []string // errors and warnings of the console
}

// startBrowser starts a Chromium with an empty page, which ends with the test. Without a
// Chromium the test is skipped.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		t.Skip("there is no Chromium")
	}
	dir := t.TempDir()
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--remote-debugging-pipe", "--user-data-dir="+dir, "about:blank")
	theirs, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, theirOutput, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{theirs, theirOutput}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	theirOutput.Close()
	b := &browser{t: t, to: to, answers: make(map[int]chan json.RawMessage)}
	var reading sync.WaitGroup
	reading.Go(func() { b.read(from) })
	t.Cleanup(func() {
		_, _ = b.send("", "Browser.close", nil)
		_ = cmd.Wait()
		to.Close()
		from.Close()
		reading.Wait()
	})
	var target struct{ TargetID, SessionID string }
	b.do("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.do("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	b.session = target.SessionID
	for _, domain := range []string{"Page", "Runtime", "Network", "Log"} {
		b.do(domain+".enable", nil, nil)
	}
	return b
}

// read takes what the browser tells.
func (b *browser) read(from *os.File) {
	in := bufio.NewReader(from)
	for {
		text, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID     int
			Method string
			Params struct {
				Request          struct{ URL string }
				Entry            struct{ Level, Text, URL string }
				Type             string
				Args             []struct{ Value any }
				ExceptionDetails struct {
					Text      string
					Exception struct{ Description string }
				}
			}
		}
		if json.Unmarshal(text[:len(text)-1], &m) != nil && m.ID == 0 {
			continue
		}
		b.mu.Lock()
		switch p := m.Params; m.Method {
		case "":
			if c := b.answers[m.ID]; c != nil {
				c <- json.RawMessage(text[:len(text)-1])
				delete(b.answers, m.ID)
			}
		case "Network.requestWillBeSent":
			b.requests = append(b.requests, p.Request.URL)
		case "Log.entryAdded":
			b.problems = append(b.problems, strings.Join([]string{p.Entry.Level, p.Entry.Text, p.Entry.URL}, " "))
		case "Runtime.consoleAPICalled":
			b.problems = append(b.problems, fmt.Sprint(p.Type, p.Args))
		case "Runtime.exceptionThrown":
			b.problems = append(b.problems, p.ExceptionDetails.Text+" "+p.ExceptionDetails.Exception.Description)
		}
		b.mu.Unlock()
	}
}

// send sends a command, and returns what gets its answer.
func (b *browser) send(session, method string, params any) (<-chan json.RawMessage, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	c := make(chan json.RawMessage, 1)
	b.answers[b.last] = c
	message := map[string]any{"id": b.last, "method": method}
	if params != nil {
		message["params"] = params
	}
	if session != "" {
		message["sessionId"] = session
	}
	text, err := json.Marshal(message)
	if err == nil {
		_, err = b.to.Write(append(text, 0))
	}
	return c, err
}

// do has a command done, and reads its result.
func (b *browser) do(method string, params, result any) {
	b.t.Helper()
	if failure := b.try(method, params, result); failure != "" {
		b.t.Fatal(method, failure)
	}
}

// try is do, but returns what the browser says if it cannot.
func (b *browser) try(method string, params, result any) (failure string) {
	b.t.Helper()
	c, err := b.send(b.session, method, params)
	if err != nil {
		b.t.Fatal(method, err)
	}
	var answer struct {
		Result json.RawMessage
		Error  *struct{ Message string }
	}
	select {
	case text := <-c:
		if err := json.Unmarshal(text, &answer); err != nil {
			b.t.Fatal(method, err)
		}
	case <-time.After(30 * time.Second):
		b.t.Fatal(method, "no answer")
	}
	if answer.Error != nil {
		return answer.Error.Message
	}
	if result != nil {
		if err := json.Unmarshal(answer.Result, result); err != nil {
			b.t.Fatal(method, err)
		}
	}
	return ""
}

// open opens the page, and waits until it is loaded.
func (b *browser) open(url string) {
	b.t.Helper()
	b.do("Page.navigate", map[string]any{"url": url}, nil)
	b.eventually("the page is loaded", "document.readyState === 'complete' && location.href !== 'about:blank'")
}

// eval returns the value of the expression in the page, as text; none where the page
// makes way for another one meanwhile.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Exception struct{ Description string }
		}
	}
	params := map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}
	if failure := b.try("Runtime.evaluate", params, &r); strings.Contains(failure, "navigated") {
		return ""
	} else if failure != "" {
		b.t.Fatal(expression, failure)
	}
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails.Exception.Description)
	}
	return fmt.Sprint(r.Result.Value)
}

// eventually waits until the expression is true. Meanwhile the page may lack what it
// asks of.
func (b *browser) eventually(what, expression string) {
	b.t.Helper()
	expression = "(() => { try { return " + expression + " } catch { return false } })()"
	eventually(b.t, 20*time.Second, what, func() bool { return b.eval(expression) == "true" })
}

// expectQuiet fails the test if the console said anything, or another origin was asked.
func (b *browser) expectQuiet(origin string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		b.t.Errorf("the console says: %s", p)
	}
	if len(b.requests) == 0 {
		b.t.Error("there was no request")
	}
	for _, url := range b.requests {
		if !strings.HasPrefix(url, origin+"/") && !strings.HasPrefix(url, "data:") {
			b.t.Errorf("asked another origin: %s", url)
		}
	}
}

// size sets the size of the page, and whether it is dark.
func (b *browser) size(width, height int, dark bool) {
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.do("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]string{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// shoot writes a picture of the page to the file.
func (b *browser) shoot(file string) {
	b.t.Helper()
	var r struct{ Data string }
	b.do("Page.captureScreenshot", map[string]any{"format": "png"}, &r)
	data, err := base64.StdEncoding.DecodeString(r.Data)
	if err == nil {
		err = os.WriteFile(file, data, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
