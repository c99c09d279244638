package codec

import "sync"

// A Buffer is memory in which objects are encoded, and from which those are
// decoded that must not be decoded where a peer could change them meanwhile.
type Buffer struct {
	// B is empty at first. Who appends to it stores the result here, so that
	// what it grew to is used again.
	B []byte
}

// keepBuffer is the largest buffer that is used again.
const keepBuffer = 64 << 10

var buffers = sync.Pool{New: func() any { return new(Buffer) }}

// GetBuffer returns a buffer that is the caller's until it calls Free. One that
// is never freed, because a codec panicked, is the garbage collector's.
func GetBuffer() *Buffer { return buffers.Get().(*Buffer) }

// Free gives the buffer up, and with it what was in B.
func (b *Buffer) Free() {
	if cap(b.B) > keepBuffer {
		return
	}
	b.B = b.B[:0]
	buffers.Put(b)
}
