package value_test

import (
	"sync/atomic"
	"testing"

	"github.com/sluice-ipc/sluice/value"
)

// What a number in shared memory costs, beside one of this process.
func BenchmarkValue(b *testing.B) {
	v := must(value.Anonymous[int64]("bench", 0, nil))
	defer v.Close()
	d := must(value.Anonymous[float64]("bench", 0, nil))
	defer d.Close()
	var local atomic.Int64
	var sum int64
	b.Run("Load/local", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sum += local.Load()
		}
	})
	b.Run("Load/shared", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sum += v.Load()
		}
	})
	b.Run("Add/local", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sum += local.Add(1)
		}
	})
	b.Run("Add/shared", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sum += v.Add(1)
		}
	})
	b.Run("AddFloat/shared", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			d.Add(1)
		}
	})
	b.Run("Store/local", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			local.Store(1)
		}
	})
	b.Run("Store/shared", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v.Store(1)
		}
	})
	_ = sum
}

// What an element costs, and a copy under the lock.
func BenchmarkArray(b *testing.B) {
	a := must(value.AnonymousArray[int64]("bench", 1024, nil))
	defer a.Close()
	n := must(value.AnonymousArray[uint8]("bench", 1024, nil))
	defer n.Close()
	buf := make([]int64, 1024)
	b.Run("At", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a.At(7)
		}
	})
	b.Run("AddAt", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			a.AddAt(7, 1)
		}
	})
	b.Run("AddAt/byte", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n.AddAt(7, 1)
		}
	})
	b.Run("CopyIn/1024", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			check(a.CopyIn(bg, 0, buf))
		}
	})
	b.Run("CopyOut/1024", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			check(a.CopyOut(bg, 0, buf))
		}
	})
}
