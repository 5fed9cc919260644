package broadcast

// Presence says that a connection has joined or left a pattern, or is there.
type Presence struct {
	Conn    uint64 // its ID
	Pattern string
	Who     any // its SubscribeOptions.Who
	Joined  bool
	Count   int // of those subscribed to the pattern now
}

func (s *subscription) presence(joined bool, count int) Presence {
	return Presence{Conn: s.to.id, Pattern: s.pattern, Who: s.opts.Who, Joined: joined, Count: count}
}

// present tells Options.Presence.
func (l *loop) present(p Presence) {
	if l.hub.opts.Presence != nil {
		l.m.Try(func() { l.hub.opts.Presence(p) })
	}
}

// Present returns who has subscribed to just this pattern, on all loops, in no order: most of them
// at most, or 1000 if it is 0. Count says how many there are. With an engine it knows only the
// connections of this hub. For all nodes, let each node publish its joins and leaves to a topic of
// its own, and its whole list at regular times, since a node may end without a word. Safe for
// concurrent use.
func (h *Hub) Present(pattern string, most int) []Presence {
	setDefault(&most, 1000)
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.root.lookup(pattern)
	if x == nil {
		return nil
	}
	var all []Presence
	for _, list := range x.subs {
		for _, s := range list {
			if len(all) >= most {
				return all
			}
			if !s.leaving() {
				all = append(all, s.presence(true, x.count))
			}
		}
	}
	return all
}
