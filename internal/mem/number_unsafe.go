package mem

import (
	"sync/atomic"
	"unsafe"
)

// The functions of this file take numbers, and named types of numbers: what T
// must be, and what has no other size than 1, 2, 4 or 8 bytes. Whatever bits
// there are in memory make a number, so nothing that a peer does can harm.

// ToBits returns the bits of a number in the lower part of a word; the others
// are 0.
func ToBits[T any](v T) uint64 {
	switch unsafe.Sizeof(v) {
	case 8:
		return *(*uint64)(unsafe.Pointer(&v))
	case 4:
		return uint64(*(*uint32)(unsafe.Pointer(&v)))
	case 2:
		return uint64(*(*uint16)(unsafe.Pointer(&v)))
	}
	return uint64(*(*uint8)(unsafe.Pointer(&v)))
}

// FromBits returns the number whose bits are the lower ones of w.
func FromBits[T any](w uint64) (v T) {
	switch unsafe.Sizeof(v) {
	case 8:
		return *(*T)(unsafe.Pointer(&w))
	case 4:
		u := uint32(w)
		return *(*T)(unsafe.Pointer(&u))
	case 2:
		u := uint16(w)
		return *(*T)(unsafe.Pointer(&u))
	}
	u := uint8(w)
	return *(*T)(unsafe.Pointer(&u))
}

// LoadNumber reads *p in one access.
//
// For this function and those below, a number of 1 or 2 bytes lies in a word of
// 4, at a multiple of 4, that can be read and, by those that change *p, written
// as a whole: they leave its other bytes as they are, whoever changes those at
// the same time.
func LoadNumber[T any](p *T) T {
	switch unsafe.Sizeof(*p) {
	case 8:
		return FromBits[T](word64(p).Load())
	case 4:
		return FromBits[T](uint64(word32(p).Load()))
	}
	w, at := around(p)
	return pick[T](w.Load(), at)
}

// SwapNumber writes v to *p and returns what was there.
func SwapNumber[T any](p *T, v T) T {
	switch unsafe.Sizeof(*p) {
	case 8:
		return FromBits[T](word64(p).Swap(ToBits(v)))
	case 4:
		return FromBits[T](uint64(word32(p).Swap(uint32(ToBits(v)))))
	}
	for {
		w, at := around(p)
		u := w.Load()
		if w.CompareAndSwap(u, patch(u, at, v)) {
			return pick[T](u, at)
		}
	}
}

// CompareAndSwapNumber writes v to *p if the bits there are those of old.
func CompareAndSwapNumber[T any](p *T, old, v T) bool {
	switch unsafe.Sizeof(*p) {
	case 8:
		return word64(p).CompareAndSwap(ToBits(old), ToBits(v))
	case 4:
		return word32(p).CompareAndSwap(uint32(ToBits(old)), uint32(ToBits(v)))
	}
	w, at := around(p)
	for {
		u := w.Load()
		if ToBits(pick[T](u, at)) != ToBits(old) {
			return false
		}
		if w.CompareAndSwap(u, patch(u, at, v)) {
			return true
		}
	}
}

func word64[T any](p *T) *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(p)) }

func word32[T any](p *T) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(p)) }

// around returns the word of 4 bytes in which *p lies, and at which of them.
func around[T any](p *T) (*atomic.Uint32, uintptr) {
	at := uintptr(unsafe.Pointer(p)) & 3
	return (*atomic.Uint32)(unsafe.Add(unsafe.Pointer(p), -int(at))), at
}

// pick returns the number at byte at of the word u.
func pick[T any](u uint32, at uintptr) T { return *(*T)(unsafe.Add(unsafe.Pointer(&u), at)) }

// patch returns u with the number v at byte at.
func patch[T any](u uint32, at uintptr, v T) uint32 {
	*(*T)(unsafe.Add(unsafe.Pointer(&u), at)) = v
	return u
}

// AddNumber adds delta to an integer of 4 or 8 bytes and returns the sum.
func AddNumber[T any](p *T, delta T) T {
	if unsafe.Sizeof(*p) == 8 {
		return FromBits[T](word64(p).Add(ToBits(delta)))
	}
	return FromBits[T](uint64(word32(p).Add(uint32(ToBits(delta)))))
}
