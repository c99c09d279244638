package ring_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
)

var spins = map[string]ring.Spin{
	"adaptive": ring.SpinAdaptive,
	"always":   ring.SpinAlways,
	"never":    ring.SpinNever,
}

// count is how many messages a stream test sends.
func count(t *testing.T, n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// Every message arrives once, whole and in order, whatever way both ends wait,
// through a ring that holds two of the largest.
func TestStream(t *testing.T) {
	for name, spin := range spins {
		t.Run(name, func(t *testing.T) {
			shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
				w, rd := pair(t, a, b, ring.Options{Spin: spin}.StartAt(starts["wrap"]))
				n := count(t, 20000)
				var all sync.WaitGroup
				all.Go(func() {
					for i := range n {
						if err := send(w, i, deal(i, 2000)); err != nil {
							t.Error(err)
							return
						}
					}
					w.Close()
				})
				for i := 0; ; i++ {
					b, err := receive(t, rd, i)
					if err == io.EOF && i == n {
						break
					}
					if err != nil {
						t.Fatalf("message %d: %v", i, err)
					}
					if got := number(t, b); got != i {
						t.Fatalf("message %d came as number %d", got, i)
					}
					if i%3 == 0 {
						rd.Release()
					}
				}
				all.Wait()
			})
		})
	}
}

// send sends message i in one of the ways there are.
func send(w *ring.Writer, i, n int) error {
	msg := payload(i, n)
	switch i % 3 {
	case 0:
		b, err := w.Reserve(bg, len(msg))
		if err != nil {
			return err
		}
		copy(b, msg)
		return w.Commit(len(msg))
	case 1:
		for {
			err := w.TryWrite(msg)
			if !errors.Is(err, ring.ErrFull) {
				return err
			}
			runtime.Gosched()
		}
	default:
		return w.Write(bg, msg)
	}
}

// receive gets message i in one of the ways there are; every third is on loan.
func receive(t *testing.T, rd *ring.Reader, i int) ([]byte, error) {
	switch i % 3 {
	case 0:
		return rd.Peek(bg)
	case 1:
		return rd.ReadAppend(bg, nil, -1)
	default:
		buf := make([]byte, 2048)
		n, err := rd.Read(bg, buf)
		return buf[:n], err
	}
}

func TestManyGoroutinesOnEachEnd(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, nil)
		const senders, receivers = 4, 3
		each := count(t, 4000)
		var send, recv sync.WaitGroup
		for s := range senders {
			send.Go(func() {
				for i := range each {
					if err := w.Write(bg, payload(s*each+i, 16+i%200)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		var mu sync.Mutex
		seen := map[int]int{}
		for range receivers {
			recv.Go(func() {
				for {
					b, err := rd.ReadAppend(bg, nil, -1)
					if err == io.EOF {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					seen[number(t, b)]++
					mu.Unlock()
				}
			})
		}
		send.Wait()
		w.Close()
		recv.Wait()
		for i := range senders * each {
			if seen[i] != 1 {
				t.Fatalf("message %d arrived %d times", i, seen[i])
			}
		}
	})
}

func TestBatchIsSeenAtOnce(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, ring.Options{}.StartAt(starts["wrap"]))
		n := count(t, 3000)
		go func() {
			for i := range n {
				var msgs [][]byte
				for j := range 5 {
					msgs = append(msgs, payload(5*i+j, 16+(i*j)%300))
				}
				if err := w.WriteBatch(bg, msgs); err != nil {
					t.Error(err)
				}
			}
			w.Close()
		}()
		for i := range n {
			for j := range 5 {
				b, err := []byte(nil), error(nil)
				if j == 0 {
					b, err = rd.Peek(bg)
				} else if b, err = rd.More(); errors.Is(err, ring.ErrEmpty) {
					t.Fatalf("only %d of batch %d are there", j, i)
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := number(t, b); got != 5*i+j {
					t.Fatalf("message %d came as number %d", got, 5*i+j)
				}
			}
			if err := rd.Release(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := rd.Peek(bg); err != io.EOF {
			t.Fatalf("Peek = %v, want EOF", err)
		}
	})
}

func TestBatchThatCannotFit(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, nil)
		big := make([]byte, 1500)
		if err := w.WriteBatch(bg, [][]byte{big, big, big}); !errors.Is(err, ring.ErrTooLarge) {
			t.Fatalf("WriteBatch = %v", err)
		}
		if _, err := rd.TryPeek(); !errors.Is(err, ring.ErrEmpty) {
			t.Fatalf("a batch that failed left something: %v", err)
		}
		if err := w.WriteBatch(bg, [][]byte{big, big}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWhatDoesNotFitIsRefused(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, _ := pair(t, a, b, &ring.Options{MaxMessage: 10000})
		for _, n := range []int{-1, 2041} {
			if _, err := w.TryReserve(n); !errors.Is(err, ring.ErrTooLarge) {
				t.Errorf("TryReserve(%d) = %v", n, err)
			}
		}
		if err := w.Write(bg, make([]byte, 10001)); !errors.Is(err, ring.ErrTooLarge) {
			t.Errorf("Write above MaxMessage = %v", err)
		}
		if err := w.TryWrite(make([]byte, 5000)); !errors.Is(err, ring.ErrTooLarge) {
			t.Errorf("TryWrite above the capacity = %v", err)
		}
		if b, err := w.TryReserve(2040); err != nil || len(b) != 2040 {
			t.Errorf("TryReserve(MaxFrame) = %d bytes, %v", len(b), err)
		}
	})
}

func TestContexts(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, &ring.Options{Spin: ring.SpinNever})
		past, cancelPast := context.WithTimeout(bg, -1)
		defer cancelPast()
		soon, cancelSoon := context.WithTimeout(bg, 5*time.Millisecond)
		defer cancelSoon()
		cancelled, cancel := context.WithCancel(bg)
		cancel()
		for _, tt := range []struct {
			ctx  context.Context
			want error
		}{{past, context.DeadlineExceeded}, {soon, context.DeadlineExceeded}, {cancelled, context.Canceled}} {
			_, err := rd.Peek(tt.ctx)
			if !errors.Is(err, ring.ErrEmpty) || !errors.Is(err, tt.want) {
				t.Errorf("Peek = %v, want ErrEmpty and %v", err, tt.want)
			}
		}
		if ready, err := rd.Poll(past); ready || err != nil {
			t.Errorf("Poll past its deadline = %v, %v", ready, err)
		}
		if ready, err := rd.Poll(cancelled); ready || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled Poll = %v, %v", ready, err)
		}
		// A context that is done still gets one attempt.
		for range 2 {
			if err := w.Write(past, make([]byte, 2000)); err != nil {
				t.Errorf("Write with room = %v", err)
			}
		}
		if err := w.Write(past, make([]byte, 2000)); !errors.Is(err, ring.ErrFull) ||
			!errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Write to a full ring = %v", err)
		}
		if b, err := rd.Peek(cancelled); err != nil || len(b) != 2000 {
			t.Errorf("Peek with a message = %d bytes, %v", len(b), err)
		}
		rd.Release()
	})
}

func TestLongWaitsBehindALoan(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, nil)
		if _, err := w.Reserve(bg, 8); err != nil {
			t.Fatal(err)
		}
		if _, err := w.TryReserve(8); !errors.Is(err, ring.ErrBusy) {
			t.Errorf("TryReserve behind a reservation = %v", err)
		}
		ctx, cancel := context.WithCancel(bg)
		cancel()
		if _, err := w.Reserve(ctx, 8); !errors.Is(err, context.Canceled) {
			t.Errorf("Reserve behind a reservation = %v", err)
		}
		got := make(chan error)
		go func() { got <- w.Write(bg, []byte("second")) }()
		w.Commit(0)
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"", "second"} {
			b, err := rd.ReadAppend(bg, nil, -1)
			if err != nil || string(b) != want {
				t.Fatalf("read %q, %v; want %q", b, err, want)
			}
		}
	})
}

func TestHotPathsAllocateNothing(t *testing.T) {
	shmtest.EachMemory(t, size, func(t *testing.T, a, b []byte) {
		w, rd := pair(t, a, b, nil)
		msg, buf := make([]byte, 64), make([]byte, 64)
		for name, f := range map[string]func(){
			"reserve and peek": func() {
				w.Reserve(bg, 64)
				w.Commit(64)
				rd.Peek(bg)
				rd.Release()
			},
			"write and read": func() { w.Write(bg, msg); rd.Read(bg, buf) },
			"try":            func() { w.TryWrite(msg); rd.TryRead(buf) },
			"append":         func() { w.Write(bg, msg); rd.ReadAppend(bg, buf[:0], -1) },
			"poll":           func() { rd.TryPoll() },
			"empty":          func() { rd.TryRead(buf) },
			"batch of two": func() {
				b, _ := w.Batch(bg)
				b.Write(bg, msg)
				b.Write(bg, msg)
				b.Commit()
				rd.Peek(bg)
				rd.More()
				rd.Release()
			},
		} {
			if n := testing.AllocsPerRun(100, f); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	})
}
