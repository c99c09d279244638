package mem_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluice-ipc/sluice/internal/mem"
)

// words returns memory for n bytes, the second view with a line of canaries on
// each side.
func words(n int) (shared []atomic.Uint64, all []uint64) {
	all = make([]uint64, 16+(n+7)/8)
	for i := range all {
		all[i] = canary
	}
	return mem.Shared(mem.Bytes(all), 64, n), all
}

const canary = 0xdeadbeefdeadbeef

func TestWordsOfEverySize(t *testing.T) {
	for n := range 140 {
		for off := range 9 { // of the private side, which may lie anywhere
			private := make([]byte, off+n+8)
			src, dst := private[off:off+n], make([]byte, off+n+8)
			for i := range src {
				src[i] = byte(i*7 + 1)
			}
			shared, all := words(n)
			mem.StoreWords(shared, src)
			if got := mem.Bytes(all)[64:][:n]; !bytes.Equal(got, src) {
				t.Fatalf("%d bytes at %d: stored % x, want % x", n, off, got, src)
			}
			if pad := mem.Bytes(all)[64+n : 64+8*len(shared)]; !bytes.Equal(pad, make([]byte, len(pad))) {
				t.Fatalf("%d bytes: behind them are % x", n, pad)
			}
			for i, w := range all {
				if (i < 8 || i >= 8+len(shared)) && w != canary {
					t.Fatalf("%d bytes: word %d outside is %#x", n, i-8, w)
				}
			}
			mem.LoadWords(dst[off:off+n], shared)
			if !bytes.Equal(dst[off:off+n], src) {
				t.Fatalf("%d bytes at %d: loaded % x, want % x", n, off, dst, src)
			}
			if rest := append(dst[:off:off], dst[off+n:]...); !bytes.Equal(rest, make([]byte, off+8)) {
				t.Fatalf("%d bytes at %d: wrote outside: % x", n, off, dst)
			}
		}
	}
}

func TestWordsWantTheSize(t *testing.T) {
	shared, _ := words(16)
	for name, f := range map[string]func(){
		"load of less":  func() { mem.LoadWords(make([]byte, 8), shared) },
		"load of more":  func() { mem.LoadWords(make([]byte, 17), shared) },
		"store of less": func() { mem.StoreWords(shared, make([]byte, 3)) },
		"store of more": func() { mem.StoreWords(shared, make([]byte, 24)) },
		"outside":       func() { mem.Shared(make([]byte, 16), 8, 9) },
		"odd place":     func() { mem.Shared(make([]byte, 16), 4, 8) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
	mem.StoreWords(nil, nil)
	mem.LoadWords(nil, nil)
}

// A word that is stored and loaded at the same time is old or new, and a reader
// that has seen a word of one store sees all that was stored before it: the words
// in front, and what was published before.
func TestWordsAreStoredInOrder(t *testing.T) {
	const n = 100 // words, and a part of one
	want := 2000  // values that the reader has to meet
	if testing.Short() {
		want = 200
	}
	const step = 0x0101010101
	shared, _ := words(8*n + 3)
	for i := range shared {
		shared[i].Store(0)
	}
	var mark, last atomic.Uint64
	var enough atomic.Bool
	var writer sync.WaitGroup
	writer.Go(func() {
		src := make([]uint64, n+1)
		for v := uint64(1); !enough.Load(); v++ {
			for i := range src {
				src[i] = v * step
			}
			mem.StoreRelease(&mark, v)
			mem.StoreWords(shared, mem.Bytes(src)[:8*n+3])
			last.Store(v)
		}
	})
	defer writer.Wait()
	defer enough.Store(true)
	dst := make([]byte, 8*n+3)
	seen := map[uint64]bool{}
	mixed := 0
	for i := 0; len(seen) < want || mixed == 0; i++ {
		before := last.Load()
		mem.LoadWords(dst, shared)
		after := mark.Load()
		first := binary.NativeEndian.Uint64(dst)
		for i := range n {
			v := binary.NativeEndian.Uint64(dst[8*i:])
			// Nothing is older than what was all stored, nor newer than
			// the mark that was set before it.
			if v%step != 0 || v/step < before || v/step > after {
				t.Fatalf("word %d is %#x, between %d and mark %d", i, v, before, after)
			}
			if v != first {
				mixed++
			}
			seen[v] = true
		}
		if i%64 == 63 {
			runtime.Gosched()
		}
	}
	t.Logf("%d values seen, %d words of another value than the first", len(seen), mixed)
}

func TestSettle(t *testing.T) {
	p := plainOf[flags](t)
	b := bytes.Repeat([]byte{7}, p.Size)
	p.Settle(b)
	for _, off := range boolsOf(t) {
		if b[off] != 1 {
			t.Errorf("the bool at %d is %d", off, b[off])
		}
		b[off] = 7
	}
	if !bytes.Equal(b, bytes.Repeat([]byte{7}, p.Size)) {
		t.Error("something else than a bool changed")
	}
	plainOf[uint64](t).Settle(nil)
}

func BenchmarkWords(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"64B", 64}, {"4KiB", 4096}, {"64KiB", 64 << 10}} {
		shared, _ := words(size.n)
		private := make([]byte, size.n)
		b.Run("load/"+size.name, func(b *testing.B) {
			b.SetBytes(int64(size.n))
			for b.Loop() {
				mem.LoadWords(private, shared)
			}
		})
		b.Run("store/"+size.name, func(b *testing.B) {
			b.SetBytes(int64(size.n))
			for b.Loop() {
				mem.StoreWords(shared, private)
			}
		})
	}
}
