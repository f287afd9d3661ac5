package integration

import (
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var screenshots = flag.String("screenshots", "", "directory to write pictures of the status page to")

// statusSite is a site with a status page that takes orders, and a pool.
func statusSite(options, upstreams string) string {
	return statusSiteChecked("200ms", options, upstreams)
}

// statusSiteChecked is that with an interval between checks. They pass on a slow machine,
// too.
func statusSiteChecked(interval, options, upstreams string) string {
	return fmt.Sprintf(`load_balancer_status /status {
		allow_orders
	}
	reverse_proxy %s {
		lb_policy peak_ewma {
			name shop
			health_check http %s {
				interval %s
				timeout 10s
				fails 1
				passes 1
			}
			%s
		}
	}`, upstreams, healthPath, interval, options)
}

// row is the row of the upstream.
func row(addr string) string {
	return fmt.Sprintf(`document.querySelector('tr[data-key="shop %s"]')`, addr)
}

// withdraw is the button that withdraws the order for the upstream; undefined for none.
func withdraw(addr string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("#orders tr")].find((row) => row.textContent.includes("%s"))?.querySelector("button")`, addr)
}

// withdrawn is whether the page says that the upstream's order is withdrawn.
func withdrawn(addr string) string {
	return "document.readyState === 'complete' && document.querySelector('.done').textContent === 'The order is withdrawn.' && " +
		withdraw(addr) + " === undefined"
}

func TestStatusPageInABrowser(t *testing.T) {
	b := startBrowser(t)
	all := backends(t, "a", "b", "c")
	p := run(t, statusSite("", addrs(all...)))
	b.open(p.url + "/status")
	b.eventually("the page is live", "document.getElementById('live').textContent === 'live'")

	// What happens is shown, in words, and told to those who listen.
	all[1].set(drop)
	down := row(all[1].addr) + ".querySelector('.state').textContent === 'down'"
	b.eventually("the state is shown", down)
	if said := b.eval("document.getElementById('told').textContent"); said != all[1].addr+" is now down" {
		t.Errorf("told %q", said)
	}
	b.eventually("the change is listed", "document.getElementById('events').textContent.includes('up → down')")
	for range 20 {
		p.get("/")
	}
	b.eventually("graphs are drawn", row(all[0].addr)+".querySelectorAll('svg path[d^=M]').length === 3")

	// An order by keyboard: it is given once, from the page's own form.
	b.eval(row(all[0].addr) + ".querySelector('input').focus()")
	b.key(" ", "Space", 32)
	b.eval("document.querySelector('button[value=drain]').focus()")
	b.key("\r", "Enter", 13)
	b.eventually("the drain is done", "document.querySelector('.done')?.textContent === 'The upstream is drained.'")
	b.eventually("the drain is shown", row(all[0].addr)+".querySelector('.state').textContent === 'draining'")
	b.eventually("the order is listed", withdraw(all[0].addr)+" instanceof HTMLElement")
	b.eval(withdraw(all[0].addr) + ".click()")
	b.eventually("the order is withdrawn", withdrawn(all[0].addr))

	if *screenshots != "" {
		all[0].set(after(30 * time.Millisecond))
		all[2].set(working)
		b.eval(row(all[0].addr) + ".querySelector('input').click()")
		b.eval("document.querySelector('[name=reason]').value = 'half of its memory is gone'")
		b.eval("document.querySelector('[name=weight]').value = '2'; document.querySelector('button[value=weight]').click()")
		b.pictures(p, "3")
		b.eval(withdraw(all[0].addr) + ".click()")
		b.eventually("the order is withdrawn", withdrawn(all[0].addr))
	}

	// A reload ends the stream; the browser comes back, and sees another pool.
	b.eval(row(all[2].addr) + ".querySelector('input').click()")
	d := start(t, "d")
	p.reload(statusSite("", addrs(append(all, d)...)))
	b.eventually("the new upstream is shown", row(d.addr)+" !== null")
	if checked := b.eval(row(all[2].addr) + ".querySelector('input').checked"); checked != "true" {
		t.Error("what was selected is no more")
	}
	b.expectQuiet(p.url)
}

// key presses a key.
func (b *browser) key(text, code string, number int) {
	b.t.Helper()
	name := code
	if text == " " {
		name = " "
	}
	for _, kind := range []string{"keyDown", "keyUp"} {
		params := map[string]any{"type": kind, "key": name, "code": code, "windowsVirtualKeyCode": number}
		if kind == "keyDown" {
			params["text"] = text
		}
		b.do("Input.dispatchKeyEvent", params, nil)
	}
}

func TestStatusPageWithoutScriptsInABrowser(t *testing.T) {
	b := startBrowser(t)
	all := backends(t, "a", "b")
	p := run(t, statusSite("", addrs(all...)))
	b.do("Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
	b.do("Page.navigate", map[string]any{"url": p.url + "/status"}, nil)
	b.eventually("the table is there", "document.querySelectorAll('tr[data-key]').length === 2 && document.readyState === 'complete'")
	b.eval("document.querySelector('tr[data-key] input').checked = true; document.querySelector('button[value=maintenance]').click()")
	b.eventually("the order is done", "document.querySelector('.done')?.textContent === 'The upstream is in maintenance.'")
	b.eval(withdraw(all[0].addr) + ".click()")
	b.eventually("the order is withdrawn", withdrawn(all[0].addr))
	b.expectQuiet(p.url)
}

func TestStatusPageOf500InABrowser(t *testing.T) {
	b := startBrowser(t)
	all := backends(t, "a", "b", "c")
	var upstreams strings.Builder
	upstreams.WriteString(addrs(all...))
	for i := range 497 {
		fmt.Fprintf(&upstreams, " 127.1.%d.%d:1", i/250, i%250+1)
	}
	p := run(t, statusSiteChecked("10s", "priority 1 127.1.0.0/16\nbackup "+all[2].addr, upstreams.String()))
	b.open(p.url + "/status")
	b.eventually("all rows are there", "document.querySelectorAll('tr[data-key]').length === 500")
	b.eventually("the page is live", "document.getElementById('live').textContent === 'live'")
	t.Log("first paint after", b.eval("performance.getEntriesByName('first-contentful-paint')[0]?.startTime"), "ms")
	b.eventually("the checks are shown", "document.querySelectorAll('tr[data-state=down]').length === 497")
	if *screenshots != "" {
		all[0].set(working)
		all[1].set(after(5 * time.Millisecond))
	}
	for range 50 {
		p.get("/")
	}
	b.eventually("graphs are drawn", row(all[0].addr)+".querySelectorAll('svg path[d^=M]').length === 3")
	b.pictures(p, "500")
	b.expectQuiet(p.url)
}

// pictures writes pictures of the page after a minute of traffic, if they are asked for.
func (b *browser) pictures(p *proxy, name string) {
	if *screenshots == "" {
		return
	}
	var clients sync.WaitGroup
	end := time.Now().Add(time.Minute)
	for i := range 8 {
		clients.Go(func() {
			for time.Now().Before(end) {
				if int(time.Until(end).Seconds())/5%8 <= i {
					p.get("/")
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	defer clients.Wait()
	time.Sleep(55 * time.Second)
	for _, shot := range []struct {
		name          string
		width, height int
		dark          bool
	}{{"light", 1200, 800, false}, {"dark", 1200, 800, true}, {"phone", 390, 844, false}} {
		b.size(shot.width, shot.height, shot.dark)
		b.eventually("it is drawn", "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
		b.shoot(filepath.Join(*screenshots, "status-page-"+name+"-"+shot.name+".png"))
	}
}
