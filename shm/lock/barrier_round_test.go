package lock

import (
	"errors"
	"math/rand/v2"
	"testing"
)

// What a late one is told of its round: never that a broken one was complete, and
// that a complete one was, however many rounds ago, until eight resets later.
func TestBarrierHistory(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, rare := range []int{1, 2, 10, 300, 1 << 30} {
		for _, v := range []round{0, ^oneRound&^(eraBits|oneEra-1) - 99*oneRound | eraBits - 50*oneEra} {
			e := make(ends, remembered)
			for i := range round(remembered) { // as the resets before have left it
				w := v - (i+1)*oneEra
				e.of(w).Store(uint64(w))
			}
			var was []round // how each round ended
			for range 3000 {
				for range 10 {
					if len(was) > 0 {
						lookBack(t, e, v, was[r.IntN(len(was)):])
					}
				}
				if r.IntN(rare) != 0 || rare > 1<<20 {
					was = append(was, v)
					v = v.next(true)
					continue
				}
				e.record(v + 1) // of one that is overtaken
				v |= broken | died*round(r.IntN(2))
				e.record(v)
				was = append(was, v)
				next := v.next(false)
				e.record(v &^ broken) // of one that is late
				if next&(arrivedBits|broken|died) != 0 || next.same(v) || next.erasLater(v) != 1 {
					t.Fatalf("%#x begins after %#x", next, v)
				}
				v = next
			}
		}
	}
}

// lookBack holds what is said, at the time of state now, of the first round in was
// to how it ended.
func lookBack(t *testing.T, e ends, now round, was []round) {
	t.Helper()
	resets := 0
	for _, v := range was {
		if v&broken != 0 {
			resets++
		}
	}
	first := was[0]
	err := e.outcome(first&idBits|3, now)
	switch {
	case first&broken != 0 && !errors.Is(err, ErrBarrierBroken),
		resets <= remembered && first&broken != 0 && errors.Is(err, ErrOwnerDied) != (first&died != 0),
		resets <= remembered && first&broken == 0 && err != nil:
		t.Fatalf("%d rounds and %d resets later: %#x is said to have ended with %v", len(was), resets, first, err)
	}
}

// Whoever records, and however late: the last state of an era is what remains.
func TestBarrierRecordsTheLatest(t *testing.T) {
	e := make(ends, remembered)
	era := 5 * oneEra
	for _, v := range []round{7 * oneRound, 5 * oneRound, 7*oneRound | died, 7 * oneRound, 6*oneRound | died} {
		e.record(v | era | broken | 3)
	}
	if got, want := round(e.of(era).Load()), 7*oneRound|died|era; got != want {
		t.Errorf("recorded %#x, want %#x", got, want)
	}
	e.record(era + remembered*oneEra)
	e.record(era | 9*oneRound)
	if got, want := round(e.of(era).Load()), era+remembered*oneEra; got != want {
		t.Errorf("recorded %#x, want %#x", got, want)
	}
}
