//go:build linux

package soak_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A summary is what a soak has seen.
type summary struct {
	messages, failed uint64
	bytes            uint64
	killed, stops    int
	again, inHand    int
	recovered        uint64
	redelivered      uint64
	dropped          uint64
	kills            map[string]int
	still            time.Duration // the longest time in which nothing moved
	began            time.Time
}

func newSummary() *summary { return &summary{kills: map[string]int{}, began: time.Now()} }

// since is what has come to s after was.
func (s *summary) since(was *summary, d time.Duration) string {
	return fmt.Sprintf("%d messages, %.1f MB/s, %d killed", s.messages-was.messages,
		float64(s.bytes-was.bytes)/d.Seconds()/1e6, s.killed-was.killed)
}

func (s *summary) String() string {
	d := time.Since(s.began)
	var b strings.Builder
	fmt.Fprintf(&b, "%d messages, %d bytes in %v, %.1f MB/s; %d puts failed as they should\n",
		s.messages, s.bytes, d.Round(time.Millisecond), float64(s.bytes)/d.Seconds()/1e6, s.failed)
	fmt.Fprintf(&b, "nothing moved for %v at most\n", s.still.Round(time.Millisecond))
	fmt.Fprintf(&b, "%d killed, %d stopped; %d chunks recovered, %d messages delivered again, %d of those handed over twice, %d in the hand of the dead, %d dropped\n",
		s.killed, s.stops, s.recovered, s.redelivered, s.again, s.inHand, s.dropped)
	b.WriteString("killed while")
	for _, k := range slices.Sorted(maps.Keys(s.kills)) {
		fmt.Fprintf(&b, " %s %d,", k, s.kills[k])
	}
	return strings.TrimSuffix(b.String(), ",")
}

// A record is one delivery of a message, as the audit sees it.
type record struct {
	consumer, incarnation int
	deliveries            int
	fate                  uint64
}

func (r record) String() string {
	fate := [...]string{had: "had", putBack: "put back", ending: "releasing", finished: "finished"}
	return fmt.Sprintf("consumer %d.%d after %d: %s", r.consumer, r.incarnation, r.deliveries, fate[r.fate])
}

// audit is over one epoch's ledger.
type audit struct {
	*epoch
	first [hands][]record     // the first delivery of each message; fate 0: none
	more  map[[2]int][]record // further ones
	tiny  map[[2]int]*count   // by size and tag
	lost  int
	found int // messages that were delivered, tiny ones aside
	skips int // deliveries that nobody wrote down
}

// A count is of tiny messages.
type count struct{ sent, begun, finished, ending int }

// audit compares what was put with what was delivered.
func (e *epoch) audit() {
	a := &audit{epoch: e, more: map[[2]int][]record{}, tiny: map[[2]int]*count{}}
	for p := range hands {
		a.first[p] = make([]record, e.ledger.outbox(p).next())
	}
	for c := range hands + 1 {
		a.readInbox(c)
	}
	for p := range hands {
		a.checkOutbox(p)
	}
	a.checkTiny()
	a.checkSums()
}

// readInbox enters the deliveries of one consumer, and checks their order.
func (a *audit) readInbox(c int) {
	box := a.ledger.inbox(c)
	last := [hands]int{} // one more than the last number of each producer
	life := 0
	for i := range box.next() {
		m, inc, deliveries, fate := box.entry[i].read()
		if inc != life {
			life, last = inc, [hands]int{}
		}
		if m.tiny {
			n := a.tinyOf(m.size, m.tag)
			switch fate {
			case finished:
				n.finished++
			case ending:
				n.ending++
			}
			continue
		}
		r := record{c, inc, deliveries, fate}
		switch {
		case m.number >= len(a.first[m.producer]):
			a.violation("phantom: message %d of producer %d was never begun: %v", m.number, m.producer, r)
			return
		case a.ledger.outbox(m.producer).entry[m.number].Load()&sizeOf != uint64(m.size):
			a.violation("torn: message %d of producer %d has %d bytes: %v", m.number, m.producer, m.size, r)
		}
		if deliveries == 0 {
			if m.number < last[m.producer] {
				a.violation("order: message %d of producer %d after %d: %v", m.number, m.producer, last[m.producer]-1, r)
			}
			last[m.producer] = m.number + 1
		}
		if p := &a.first[m.producer][m.number]; p.fate == 0 {
			*p = r
		} else {
			key := [2]int{m.producer, m.number}
			a.more[key] = append(a.more[key], r)
		}
	}
}

func (a *audit) tinyOf(size int, tag byte) *count {
	if size == 0 {
		tag = 0
	}
	key := [2]int{size, int(tag)}
	if a.tiny[key] == nil {
		a.tiny[key] = new(count)
	}
	return a.tiny[key]
}

// checkOutbox looks at the fate of each message of a producer.
func (a *audit) checkOutbox(p int) {
	box := a.ledger.outbox(p)
	for n, r := range a.first[p] {
		entry := box.entry[n].Load()
		size, how := int(entry&sizeOf), entry&^sizeOf
		if how == sent {
			a.sum.messages++
			a.sum.bytes += uint64(size)
		} else if how == failed {
			a.sum.failed++
		}
		if size < tiny {
			t := a.tinyOf(size, tagOf(p, n))
			switch how {
			case sent:
				t.sent++
			case begun:
				t.begun++
			}
			continue
		}
		all := a.more[[2]int{p, n}]
		if r.fate != 0 {
			a.found++
			all = append([]record{r}, all...)
		}
		a.checkMessage(p, n, how, all)
	}
}

// checkMessage looks at one message: put or not, and delivered so often.
func (a *audit) checkMessage(p, n int, how uint64, all []record) {
	slices.SortStableFunc(all, func(x, y record) int { return x.deliveries - y.deliveries })
	say := func(what string) { a.violation("%s: message %d of producer %d: %v", what, n, p, all) }
	if how == failed && len(all) > 0 {
		say("phantom, its put had failed")
	}
	if len(all) == 0 {
		if how == sent {
			a.lost++
			a.sample(p, n, all)
		}
		return
	}
	a.sum.again += len(all) - 1
	over := 0 // deliveries that say that they are the last
	for i, r := range all {
		known := r.deliveries != unknown
		if i > 0 && known && r.deliveries == all[i-1].deliveries {
			say("duplicate, delivered twice with the same count")
		}
		if i+1 < len(all) && r.fate == finished && all[i+1].deliveries != unknown {
			say("duplicate, delivered again after it was finished")
		}
		switch r.fate {
		case finished:
			over++
		case had, ending:
			if !a.died(r) {
				say("neither finished nor died")
			}
		}
	}
	last := all[len(all)-1]
	switch {
	case over > 1:
		say("duplicate, finished twice")
	case over == 0 && last.fate != ending && !slices.ContainsFunc(all, func(r record) bool { return r.fate == ending && last.deliveries == unknown }):
		a.lost++ // it was held by somebody who died or put it back, and never came again
		a.sample(p, n, all)
	}
	if last.deliveries != unknown {
		a.skips += last.deliveries + 1 - len(all)
	}
}

// sample says something about the first messages that are lost.
func (a *audit) sample(p, n int, all []record) {
	if a.lost <= 3 && !a.plan.Drop && a.hand == 0 {
		a.t.Logf("lost: message %d of producer %d, of %d: %v", n, p, len(a.first[p]), all)
	}
}

func (a *audit) died(r record) bool {
	return r.consumer < hands && a.consumers[r.consumer/crowd].killedIn[r.incarnation]
}

// checkTiny compares the numbers of messages that are too small for a name.
func (a *audit) checkTiny() {
	for key, n := range a.tiny {
		if n.finished > n.sent+n.begun {
			a.violation("duplicates or phantoms: of %d bytes and tag %d, %+v", key[0], key[1], *n)
		}
		if n.finished+n.ending < n.sent {
			a.lost += n.sent - n.finished - n.ending
			if !a.plan.Drop && a.hand == 0 {
				a.t.Logf("lost: of %d bytes and tag %d, %+v", key[0], key[1], *n)
			}
		}
	}
}

// checkSums compares the numbers of all messages.
func (a *audit) checkSums() {
	s := a.q.Stats()
	dropped := int(s.Dropped - a.before.Dropped)
	a.sum.inHand += max(0, min(a.hand, a.lost))
	if a.lost > a.hand && !a.plan.Drop {
		a.violation("%d messages lost, of which %d may be in the hand of the dead", a.lost, a.hand)
	}
	if a.plan.Drop && a.lost > dropped+a.deadProducers*a.plan.Crowd {
		a.violation("%d messages lost, %d counted as dropped, %d producers killed", a.lost, dropped, a.deadProducers)
	}
	// Who dies can have taken only so many that it has not written down.
	most := a.deaths * a.plan.Crowd
	if a.plan.Plain && a.plan.Gets {
		most *= crowdBatch
	}
	if a.skips > most && !a.plan.Drop {
		a.violation("%d deliveries that nobody got, %d deaths", a.skips, a.deaths)
	}
	if puts := int(s.Puts - a.before.Puts); puts < a.found {
		a.violation("Stats counts %d puts, %d messages came", puts, a.found)
	}
}
