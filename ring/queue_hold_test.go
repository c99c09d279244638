//go:build linux

package ring_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// lend borrows memory for b and fills it.
func lend(t testing.TB, q *ring.Queue[[]byte], b []byte) ring.Loan {
	t.Helper()
	o, err := q.TryLoan(len(b))
	if err != nil {
		t.Fatal(err)
	}
	if o.Len() != len(b) {
		t.Fatalf("Len = %d of %d", o.Len(), len(b))
	}
	rest := b
	for p := range o.Pieces() {
		rest = rest[copy(p, rest):]
	}
	if len(rest) > 0 || (o.Bytes() != nil) != (len(b) <= q.ChunkSize()) || o.Bytes() != nil && !bytes.Equal(o.Bytes(), b) {
		t.Fatalf("%d bytes are left, Bytes has %d", len(rest), len(o.Bytes()))
	}
	return o
}

// says fails unless a message is b.
func says(t testing.TB, m ring.Message, b []byte) {
	t.Helper()
	got, err := m.Append([]byte("dst"))
	if err != nil || !bytes.Equal(got[3:], b) || m.Len() != len(b) {
		t.Fatalf("the message is %q, %v, want %q", got, err, b)
	}
	var whole []byte
	for p := range m.Pieces() {
		whole = append(whole, p...)
	}
	if !bytes.Equal(whole, b) || m.Bytes() != nil && !bytes.Equal(m.Bytes(), b) {
		t.Fatalf("the pieces are %q, want %q", whole, b)
	}
}

// Loans and taken messages are finished in any order, by any goroutine.
func TestLoansAndMessagesInAnyOrder(t *testing.T) {
	for name, start := range queueStarts(8) {
		t.Run(name, func(t *testing.T) {
			q := newQueue[[]byte](t, ring.QueueOptions{Capacity: 8, ChunkSize: 32, Bytes: 4096, Hold: 8}.StartAt(start))
			for round := range 50 {
				anyOrder(t, q, round)
			}
			allFree(t, q)
		})
	}
}

func anyOrder(t *testing.T, q *ring.Queue[[]byte], round int) {
	r := rand.New(rand.NewPCG(1, uint64(round)))
	var loans []ring.Loan
	var sent [][]byte
	for i := range 8 {
		b := bytes.Repeat([]byte{byte(i)}, []int{0, 5, 32, 33, 200}[r.IntN(5)])
		loans = append(loans, lend(t, q, b))
		sent = append(sent, b)
	}
	var want [][]byte
	for _, i := range r.Perm(8) {
		if r.IntN(3) == 0 {
			if err := loans[i].Abort(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := loans[i].Commit(bg); err != nil {
			t.Fatal(err)
		}
		want = append(want, sent[i])
	}
	for _, o := range loans {
		for _, err := range []error{o.Abort(), o.Commit(bg), o.TryCommit()} {
			if !errors.Is(err, ring.ErrNotHeld) || !strings.Contains(err.Error(), q.Name()) {
				t.Fatalf("of a loan that is over: %v", err)
			}
		}
	}
	var held []ring.Message
	for _, b := range want {
		m := must(q.TryTake())
		says(t, m, b)
		held = append(held, m)
	}
	var wg sync.WaitGroup
	for _, i := range r.Perm(len(held)) {
		says(t, held[i], want[i])
		wg.Go(func() {
			if err := held[i].Release(); err != nil {
				t.Error(err)
			}
			if err := held[i].Requeue(); !errors.Is(err, ring.ErrNotHeld) {
				t.Errorf("Requeue of what was released: %v", err)
			}
		})
	}
	wg.Wait()
}

// What is put back comes first, oldest first, and says how often it came.
func TestRequeue(t *testing.T) {
	q := newQueue[int](t, nil)
	q.PutBatch(bg, []int{0, 1, 2, 3, 4})
	var held []ring.Message
	for range 4 {
		held = append(held, must(q.Take(bg)))
	}
	for _, i := range []int{2, 0, 3, 1} {
		if held[i].Redelivered() || held[i].Deliveries() != 0 {
			t.Fatal("it was never delivered before")
		}
		if err := held[i].Requeue(); err != nil {
			t.Fatal(err)
		}
	}
	if s := q.Stats(); s.Requeued != 4 || s.Orphans != 4 || s.Depth != 5 || q.Len() != 5 {
		t.Fatalf("%+v", s)
	}
	m := must(q.Take(bg))
	if v := must(q.Value(m)); v != 0 || m.Deliveries() != 1 || !m.Redelivered() {
		t.Fatalf("%d, delivered %d times before", v, m.Deliveries())
	}
	m.Requeue()
	m = must(q.Take(bg))
	if v := must(q.Value(m)); v != 0 || m.Deliveries() != 2 {
		t.Fatalf("%d, delivered %d times before", v, m.Deliveries())
	}
	m.Release()
	got := make([]int, 8)
	n := 0
	for n < 4 {
		n += must(q.TryGetBatch(got[n:]))
	}
	if !slices.Equal(got[:4], []int{1, 2, 3, 4}) {
		t.Fatalf("then came %v", got[:n])
	}
	if s := q.Stats(); s.Redelivered != 5 || s.Requeued != 5 || s.Gets != 5 {
		t.Fatalf("%+v", s)
	}
	allFree(t, q)
}

// What a holder wrote into a message is what the next one gets.
func TestMessageMemoryIsTheHolders(t *testing.T) {
	q := newQueue[[]byte](t, nil)
	q.Put(bg, []byte("draft"))
	m := must(q.Take(bg))
	copy(m.Bytes(), "final")
	m.Requeue()
	if v := get(t, q); string(v) != "final" {
		t.Fatalf("%q", v)
	}
}

// Close takes nothing from who holds: the memory stays until all is given back,
// and the participant with it.
func TestHoldAcrossClose(t *testing.T) {
	shmtest.NoLeaks(t)
	name := queueName(t)
	q := must(ring.CreateQueue[[]byte](name, &ring.QueueOptions{ChunkSize: 32, Hold: 8}))
	other := must(ring.OpenQueue[[]byte](name, nil))
	defer other.Close()
	long := bytes.Repeat([]byte("x"), 100)
	for _, b := range [][]byte{[]byte("released"), long, []byte("requeued")} {
		q.Put(bg, b)
	}
	var held []ring.Message
	for range 3 {
		held = append(held, must(q.Take(bg)))
	}
	loans := []ring.Loan{lend(t, q, long), lend(t, q, []byte("loan"))}
	for range 2 {
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	says(t, held[1], long)
	copy(loans[1].Bytes(), "also")
	if err := loans[0].Commit(bg); !errors.Is(err, ring.ErrClosed) {
		t.Errorf("Commit after Close = %v", err)
	}
	for _, err := range []error{loans[1].Abort(), held[2].Requeue(), held[0].Release(), loans[0].Abort()} {
		if err != nil {
			t.Error(err)
		}
	}
	if n := len(other.Stats().Participants); n != 2 {
		t.Errorf("%d participants with a message held", n)
	}
	if err := held[1].Release(); err != nil {
		t.Error(err)
	}
	if n := len(other.Stats().Participants); n != 1 {
		t.Errorf("%d participants with nothing held", n)
	}
	if v := get(t, other); string(v) != "requeued" {
		t.Errorf("%q", v)
	}
	allFree(t, other)
}

// A handle holds so much and no more, which is no matter of anybody else's.
func TestHoldQuota(t *testing.T) {
	q := newQueue[int](t, &ring.QueueOptions{Capacity: 8, Hold: 3})
	other := openAgain(t, q, nil)
	q.PutBatch(bg, []int{0, 1, 2, 3, 4})
	a, b, c := must(q.Take(bg)), must(q.TryTake()), must(q.Loan(bg, 8))
	for _, err := range []error{second(q.Take(bg)), second(q.TryTake()), second(q.Loan(bg, 8)), second(q.TryLoan(8))} {
		if !errors.Is(err, ring.ErrTooManyHeld) || !strings.Contains(err.Error(), q.Name()) || !strings.Contains(err.Error(), "3") {
			t.Errorf("a fourth: %v", err)
		}
	}
	if v := get(t, q); v != 2 {
		t.Errorf("Get = %d: it holds nothing", v)
	}
	d := must(other.Take(bg))
	for _, err := range []error{b.Release(), second(q.Loan(bg, 8)), a.Requeue(), c.Abort(), d.Release()} {
		if err != nil {
			t.Error(err)
		}
	}
}

// However many wait for a message, they hold none.
func TestWaitingIsNotHolding(t *testing.T) {
	q := newQueue[int](t, &ring.QueueOptions{Hold: 1, Lanes: 1, Spin: ring.SpinNever})
	const n = 20
	out := make(chan error, n)
	for range n {
		go func() {
			m, err := q.Take(bg)
			for errors.Is(err, ring.ErrTooManyHeld) { // another has it, now
				m, err = q.Take(bg)
			}
			if err == nil {
				err = m.Release()
			}
			out <- err
		}()
	}
	shmtest.Eventually(t, func() bool { return q.Stats().ConsumersWaiting == n }, "all wait")
	for i := range n {
		q.Put(bg, i)
	}
	for range n {
		if err := <-out; err != nil {
			t.Fatal(err)
		}
	}
	if s := q.Stats(); s.ConsumersWaiting != 0 {
		t.Errorf("%+v", s)
	}
	allFree(t, q)
}

// A loan that waits for memory goes on when there is some, and ends with its
// context, with Close and with CloseSend.
func TestLoanWaitsForMemory(t *testing.T) {
	o := &ring.QueueOptions{Capacity: 2, ChunkSize: 64, Bytes: 1 << 12, Hold: 2, Lanes: 1, Spin: ring.SpinNever,
		Segment: shm.Options{MaxParticipants: 2}}
	for name, end := range map[string]func(*ring.Queue[[]byte], ring.Loan, context.CancelFunc){
		"room":      func(_ *ring.Queue[[]byte], big ring.Loan, _ context.CancelFunc) { big.Abort() },
		"cancel":    func(_ *ring.Queue[[]byte], _ ring.Loan, cancel context.CancelFunc) { cancel() },
		"closeSend": func(q *ring.Queue[[]byte], _ ring.Loan, _ context.CancelFunc) { q.CloseSend() },
		"close":     func(q *ring.Queue[[]byte], _ ring.Loan, _ context.CancelFunc) { q.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			q := newQueue[[]byte](t, o)
			big := must(q.Loan(bg, q.MaxMessage()))
			if _, err := q.TryLoan(q.MaxMessage()); err != ring.ErrFull {
				t.Fatalf("TryLoan = %v", err)
			}
			ctx, cancel := context.WithCancel(bg)
			defer cancel()
			lending := blocked(func() error {
				o, err := q.Loan(ctx, q.MaxMessage())
				if err == nil {
					err = o.Abort()
				}
				return err
			})
			shmtest.Eventually(t, func() bool { return q.Stats().ProducersWaiting == 1 })
			end(q, big, cancel)
			want := map[string]error{"cancel": context.Canceled, "closeSend": ring.ErrClosed, "close": ring.ErrClosed}[name]
			if err := <-lending; !errors.Is(err, want) {
				t.Fatalf("Loan = %v, want %v", err, want)
			}
		})
	}
}

// Commit waits for room like Put, and does as the options say when there is none.
func TestCommitToAFullQueue(t *testing.T) {
	for when, want := range map[ring.WhenFull]struct {
		err     error
		left    []int
		dropped uint64
	}{
		ring.Block:      {nil, []int{1, 2}, 0},
		ring.Fail:       {ring.ErrFull, []int{0, 1}, 0},
		ring.DropNewest: {nil, []int{0, 1}, 1},
		ring.DropOldest: {nil, []int{1, 2}, 1},
	} {
		t.Run(fmt.Sprint(when), func(t *testing.T) {
			q := newQueue[int](t, &ring.QueueOptions{Capacity: 2, WhenFull: when, Spin: ring.SpinNever})
			q.PutBatch(bg, []int{0, 1})
			o := must(q.Loan(bg, 8))
			o.Bytes()[0] = 2
			committing := blocked(func() error { return o.Commit(bg) })
			if when == ring.Block {
				shmtest.Eventually(t, func() bool { return q.Stats().ProducersWaiting == 1 })
				if err := o.Abort(); !errors.Is(err, ring.ErrNotHeld) {
					t.Fatalf("Abort of what is being sent = %v", err)
				}
				if v := get(t, q); v != 0 {
					t.Fatal(v)
				}
			}
			if err := <-committing; err != want.err {
				t.Fatalf("Commit = %v", err)
			}
			for _, w := range want.left {
				if v := get(t, q); v != w {
					t.Fatalf("Get = %d, want %d", v, w)
				}
			}
			if s := q.Stats(); s.Dropped != want.dropped || s.Depth != 0 {
				t.Fatalf("%+v", s)
			}
			if err := o.Abort(); (want.err != nil) != (err == nil) {
				t.Fatalf("Abort = %v", err)
			}
			allFree(t, q)
		})
	}
}

// What makes no sense is an error that says so.
func TestBadLoans(t *testing.T) {
	q := newQueue[int](t, nil)
	for _, n := range []int{-1, 0, 7, 9} {
		if _, err := q.Loan(bg, n); err == nil || !strings.Contains(err.Error(), fmt.Sprint(n)) || !strings.Contains(err.Error(), q.Name()) {
			t.Errorf("Loan(%d) = %v", n, err)
		}
	}
	var o ring.Loan
	var m ring.Message
	for _, err := range []error{o.Commit(bg), o.TryCommit(), o.Abort(), m.Release(), m.Requeue(), second(m.Append(nil)), second(q.Value(m))} {
		if !errors.Is(err, ring.ErrNotHeld) {
			t.Errorf("of nothing: %v", err)
		}
	}
	if o.Bytes() != nil || m.Bytes() != nil || o.Len() != 0 || m.Len() != 0 {
		t.Error("there is something in nothing")
	}
	for range m.Pieces() {
		t.Error("there is a piece of nothing")
	}
}
