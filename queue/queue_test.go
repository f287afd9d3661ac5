package queue

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/caddyserver/caddy/v2"
)

// rooms is what a queue waits for.
type rooms struct {
	queue *Queue
	wg    sync.WaitGroup // those in the queue, and those inside

	mu     sync.Mutex
	left   int
	served []int           // in order
	ended  map[int]Refusal // why, of those that were not served
}

func newRooms(length, left int, timeout time.Duration) *rooms {
	options := &Options{Length: length, Timeout: caddy.Duration(timeout)}
	return &rooms{
		queue: New(options, nil),
		left:  left, ended: make(map[int]Refusal),
	}
}

const gaveUp Refusal = "gave up"

// come lets a request wait for a room, and then calls with, unless that is nil.
func (r *rooms) come(ctx context.Context, number int, with func()) {
	r.wg.Go(func() {
		picked := false
		refused := r.queue.Wait(ctx, Key{}, Look{Wait: AllFull}, func(bool) Look {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.left == 0 {
				return Look{Wait: AllFull}
			}
			r.left--
			r.served = append(r.served, number)
			picked = true
			return Look{Address: "u"}
		})
		switch {
		case !picked && refused == None:
			refused = gaveUp
			fallthrough
		case !picked:
			r.mu.Lock()
			r.ended[number] = refused
			r.mu.Unlock()
		case with != nil:
			with()
		}
	})
}

// free makes a room free, unseen by the queue.
func (r *rooms) free() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left++
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// Hundreds come one after the other, far faster than they can be served, and go
// in by one door or by several.
func TestQueueKeepsItsOrderUnderContention(t *testing.T) {
	const guests, stay = 600, 50 * time.Millisecond
	for name, test := range map[string]struct {
		doors int
		told  bool          // the queue, when a guest leaves
		after time.Duration // that the room gets free
		late  time.Duration // at most, for each that is served
	}{
		"told of every room":            {4, true, 0, 0},
		"told just before it gets free": {1, true, shortestPause / 2, shortestPause},
		"rooms get free unseen":         {4, false, 0, longestPause},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRooms(guests, test.doors, time.Hour)
				began := time.Now()
				for number := range guests {
					r.come(t.Context(), number, func() {
						time.Sleep(stay)
						if test.told {
							r.queue.Freed("u")
						}
						time.Sleep(test.after)
						r.free()
					})
					time.Sleep(time.Millisecond)
				}
				r.wg.Wait()
				if !slices.Equal(r.served, upTo(guests)) {
					t.Errorf("served in this order: %v", r.served)
				}
				turns := time.Duration(guests / test.doors)
				most := turns*(stay+test.late) + 4*time.Millisecond
				if took := time.Since(began); took > most {
					t.Errorf("it took %v, where %v is enough", took, most)
				}
				if r.queue.waiting.Load() != 0 {
					t.Errorf("%d seem to wait", r.queue.waiting.Load())
				}
			})
		})
	}
}

// party drives a queue and a list that says which requests are in it.
type party struct {
	*rooms
	length, known int
	timeout       time.Duration
	list          []guest
	order         []int           // in which they should have been served
	why           map[int]Refusal // they should have left unserved
}

type guest struct {
	number int
	until  time.Time
	leave  func()
}

// settle gives the queue time to notice what there is to notice.
func (p *party) settle() {
	time.Sleep(2 * longestPause)
	synctest.Wait()
	for len(p.list) > 0 && !time.Now().Before(p.list[0].until) {
		p.why[p.list[0].number] = Timeout
		p.list = p.list[1:]
	}
}

// serve moves on the requests for which the list says that there is room.
func (p *party) serve(rooms int) {
	for ; rooms > 0 && len(p.list) > 0; rooms-- {
		p.order = append(p.order, p.list[0].number)
		p.list = p.list[1:]
	}
}

func (p *party) arrive(*rapid.T) {
	number := p.known
	p.known++
	ctx, leave := context.WithCancel(context.Background())
	left := p.left
	p.come(ctx, number, nil)
	if len(p.list) == p.length {
		p.why[number] = Full
		leave()
	} else {
		p.list = append(p.list, guest{number, time.Now().Add(p.timeout), leave})
		p.serve(left)
	}
	p.settle()
}

func (p *party) part(t *rapid.T) {
	if len(p.list) == 0 {
		t.Skip("no request waits")
	}
	i := rapid.IntRange(0, len(p.list)-1).Draw(t, "number")
	p.list[i].leave()
	p.why[p.list[i].number] = gaveUp
	p.list = slices.Delete(p.list, i, i+1)
	p.settle()
}

func (p *party) open(t *rapid.T) {
	n := rapid.IntRange(1, 3).Draw(t, "rooms")
	p.serve(n)
	for range n {
		p.free()
	}
	if rapid.Bool().Draw(t, "told") {
		p.queue.Freed("u")
	}
	p.settle()
}

func (p *party) wait(t *rapid.T) {
	time.Sleep(rapid.SampledFrom([]time.Duration{p.timeout / 3, p.timeout}).Draw(t, "time"))
	p.settle()
}

func (p *party) check(t *rapid.T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.served, p.order) {
		t.Fatalf("served: %v, want %v", p.served, p.order)
	}
	for number := range p.known {
		if got, want := p.ended[number], p.why[number]; got != want {
			t.Fatalf("%d: %q, want %q", number, got, want)
		}
	}
	if n := int(p.queue.waiting.Load()); n != len(p.list) {
		t.Fatalf("%d wait, want %d", n, len(p.list))
	}
}

func TestQueueAgainstAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { rapid.SyncTest(t, checkQueue) })
}

func checkQueue(t *rapid.T) {
	const timeout = 10 * time.Second
	length := rapid.IntRange(1, 6).Draw(t, "length")
	p := &party{
		rooms: newRooms(length, 0, timeout), length: length, timeout: timeout, why: make(map[int]Refusal),
	}
	t.Repeat(map[string]func(*rapid.T){
		"": p.check, "arrive": p.arrive, "arrive too": p.arrive, "leave": p.part, "room": p.open, "wait": p.wait,
	})
	closed := make(chan struct{})
	p.queue.Close(func() { close(closed) })
	select {
	case <-closed:
		if len(p.list) > 0 {
			t.Fatalf("closed, although %d wait", len(p.list))
		}
	default:
		if len(p.list) == 0 {
			t.Fatal("not closed, although none waits")
		}
	}
	for len(p.list) > 0 { // the close ends no wait
		p.free()
		p.serve(1)
		p.settle()
	}
	<-closed
	p.wg.Wait()
	p.check(t)
	p.come(context.Background(), p.known, nil)
	p.wg.Wait()
	if p.ended[p.known] != Closed {
		t.Fatalf("after the close: %q", p.ended[p.known])
	}
}
