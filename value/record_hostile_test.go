package value_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/value"
)

// overOf returns a context that is done already.
func overOf(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(bg)
	cancel()
	return ctx
}

// Whatever the sequence says, Load returns something, and what is stored then is
// loaded, with the next version.
func TestAnySequence(t *testing.T) {
	r := newRecord(t, trioOf(0))
	b := must(value.AnonymousBlackboard("test", trioOf(0), nil))
	defer b.Close()
	w := must(b.Claim())
	defer w.Close()
	seqs := []uint64{0, 1, 2, 3, 1<<63 - 2, 1<<63 - 1, 1 << 63, 1<<63 + 1, ^uint64(0), ^uint64(0) - 1, ^uint64(0) - 2}
	for range 100 {
		seqs = append(seqs, rand.Uint64())
	}
	for _, s := range seqs {
		mem.Uint64(r.Segment().Data(), value.SeqWord).Store(s)
		mem.Uint64(b.Segment().Data(), value.SeqWord).Store(s)
		r.Load()
		b.Load()
		n := rand.Uint64()
		check(r.Store(bg, trioOf(n)))
		check(w.Publish(trioOf(n)))
		next := (s>>1 + 1) & (1<<63 - 1)
		if v, k := r.LoadVersion(); v != trioOf(n) || k != next {
			t.Errorf("sequence %#x: stored %v, loaded %v, version %#x", s, trioOf(n), v, k)
		}
		if v, k := b.Load(); v != trioOf(n) || k != next {
			t.Errorf("sequence %#x: published %v, loaded %v, version %#x", s, trioOf(n), v, k)
		}
	}
}

// Words that somebody changes all the time, and not as a writer does, keep nobody
// in Load for ever, nor in Store.
func TestSequenceThatNeverRests(t *testing.T) {
	r := newRecord(t, fill[[4 << 10]byte](1))
	value.Impatient(r, 2)
	b := must(value.AnonymousBlackboard("test", fill[[4 << 10]byte](1), nil))
	defer b.Close()
	value.ImpatientBoard(b, 2)
	var stop atomic.Bool
	var spoilers sync.WaitGroup
	defer spoilers.Wait()
	defer stop.Store(true)
	for _, data := range [][]byte{r.Segment().Data(), b.Segment().Data()} {
		spoilers.Go(func() {
			seq, hungry := mem.Uint64(data, value.SeqWord), mem.Uint64(data, value.HungryWord)
			for i := uint64(1); !stop.Load(); i++ {
				seq.Add(64)
				hungry.Store(i)
				if i%1024 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	for _, data := range [][]byte{r.Segment().Data(), b.Segment().Data()} {
		for mem.Uint64(data, value.SeqWord).Load() == 0 {
			runtime.Gosched()
		}
	}
	most := 0
	for range fewer(3000) {
		_, _, n := value.LoadCounted(r)
		_, _, m := value.BoardCounted(b)
		most = max(most, n, m)
		check(r.Store(bg, fill[[4 << 10]byte](2)))
	}
	t.Logf("a Load took up to %d tries", most)
	if most > value.LastTry+4 {
		t.Errorf("a Load took %d tries", most)
	}
}

// A sequence that never stands still as the reader sees it is given up after so many
// tries.
func TestLoadGivesUp(t *testing.T) {
	r := newRecord(t, trioOf(0))
	value.NeverWhole(r)
	if _, _, n := value.LoadCounted(r); n < value.LastTry || n > value.LastTry+100 {
		t.Errorf("it took %d tries", n)
	}
}

// Bools that are neither 0 nor 1 come out as true.
func TestRecordNormalisesBools(t *testing.T) {
	type flags struct {
		N    int32
		Bits [5]bool
	}
	r := newRecord(t, flags{})
	data := r.Segment().Data()
	for i := range len(data) - 2*value.HeadSize {
		data[2*value.HeadSize+i] = 0xf2
	}
	index := func(b bool) int {
		n := [2]int{10, 11}
		if b {
			return n[1]
		}
		return n[0]
	}
	for _, v := range []flags{r.Load(), must(r.Update(bg, func(v flags) flags { return v }))} {
		for i, b := range v.Bits {
			if mem.BytesOf(&v.Bits)[i] != 1 || index(b) != 11 {
				t.Errorf("bool %d is %d", i, mem.BytesOf(&v.Bits)[i])
			}
		}
	}
}

// FuzzRecordMemory attaches to whatever lies there, and does everything that does
// not wait for somebody: without a panic, and to an end.
func FuzzRecordMemory(f *testing.F) {
	word := func(at int, v uint64) []byte {
		b := make([]byte, 512)
		binary.NativeEndian.PutUint64(b[at:], v)
		return b
	}
	f.Add(make([]byte, 512))
	for _, at := range []int{0, value.TypeWord, value.LockWord, value.SeqWord, value.HungryWord, value.EventWord,
		value.HeadSize, value.HeadSize + 8, value.HeadSize + 16, 256, 300} {
		f.Add(word(at, 1))
		f.Add(word(at, ^uint64(0)))
		f.Add(word(at, 1<<48|3))
	}
	size := must(value.RecordSize[trio]()) + must(value.BlackboardSize[trio]())
	f.Fuzz(func(t *testing.T, b []byte) {
		s := must(shm.Anonymous("fuzz", &shm.Options{Size: place.Round(size)}))
		defer s.Close()
		copy(s.Data(), b)
		ctx := overOf(t)
		if r, err := value.RecordAt[trio](s, 0, nil); err == nil {
			useRecord(ctx, r)
		}
		if bb, err := value.BlackboardAt[trio](s, 0, nil); err == nil {
			useBoard(ctx, bb)
		}
		// The same with the right tags in front.
		clear(s.Data())
		r := must(value.RecordAt[trio](s, 0, nil))
		if len(b) > value.SeqWord {
			copy(s.Data()[value.SeqWord:], b[value.SeqWord:])
		}
		useRecord(ctx, r)
		clear(s.Data())
		bb := must(value.BlackboardAt[trio](s, 0, nil))
		if len(b) > value.LockWord {
			copy(s.Data()[value.LockWord:], b[value.LockWord:])
		}
		useBoard(ctx, bb)
	})
}

func useRecord(ctx context.Context, r *value.Record[trio]) {
	r.Load()
	k := r.Version()
	r.Wait(ctx, k)
	r.Store(ctx, trioOf(1))
	r.Update(ctx, func(v trio) trio { return v })
	r.With(ctx, func(v *trio) error { v.A++; return nil })
	r.Apply(func(v *trio) error { v.A++; return nil })
	_ = r.String()
}

func useBoard(ctx context.Context, b *value.Blackboard[trio]) {
	b.Load()
	b.Wait(ctx, b.Version())
	if w, err := b.Claim(); err == nil {
		w.Publish(trioOf(2))
		w.Close()
	}
	_ = b.String()
}
