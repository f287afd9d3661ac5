package outlier

import "slices"

// Subscription is what calls a function when a host changes.
type Subscription struct{ changed func() }

// Subscribe returns a subscription that calls the function when a host is ejected or
// comes back. [Host.Add] adds it to a host.
func Subscribe(changed func()) *Subscription { return &Subscription{changed} }

// Add adds a subscription. Added twice, it must be removed twice.
func (h *Host) Add(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subscribers = append(h.subscribers, s)
}

// Remove removes a subscription that Add has added.
func (h *Host) Remove(s *Subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(h.subscribers, s); i >= 0 {
		h.subscribers = slices.Delete(h.subscribers, i, i+1)
	}
}

// Changed calls the functions of all subscriptions. They must not call the host.
func (h *Host) Changed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.subscribers {
		s.changed()
	}
}
