package conn

import (
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync"
)

// copyBuffers are for what is on its way between a stream and somebody who may
// block: with memory of the ring on loan, the other side would not be told of a
// Close meanwhile, and could change what a writer looks at.
var copyBuffers = sync.Pool{New: func() any { return new([maxChunk]byte) }}

var errInvalidRead = errors.New("conn: reader returned an impossible count")

// ReadFrom sends what r yields until its end. It implements io.ReaderFrom. A file
// and net.Buffers, also in an io.LimitedReader, are read straight into shared
// memory. While r blocks, others may write.
func (s *Stream) ReadFrom(r io.Reader) (n int64, err error) {
	if most(r) >= 0 {
		return s.readInPlace(r)
	}
	buf := copyBuffers.Get().(*[maxChunk]byte)
	for err == nil {
		var m, sent int
		m, err = r.Read(buf[:])
		if m < 0 || m > len(buf) {
			return n, errInvalidRead
		}
		if m > 0 {
			var failed error
			sent, failed = s.Write(buf[:m])
			n += int64(sent)
			if failed != nil {
				err = failed
				break
			}
		}
	}
	copyBuffers.Put(buf) // not after a panic: r may still have it
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// most returns at most how many bytes will come of a reader that never blocks,
// and -1 of one that may.
func most(r io.Reader) int64 {
	switch r := r.(type) {
	case *io.LimitedReader:
		return min(most(r.R), max(r.N, 0))
	case *net.Buffers:
		n := int64(0)
		for _, b := range *r {
			n += int64(len(b))
		}
		return n
	case *os.File:
		// Files of /proc say that they are empty, and some of them block.
		if info, err := r.Stat(); err == nil && info.Mode().IsRegular() && info.Size() > 0 {
			return math.MaxInt64
		}
	}
	return -1
}

// readInPlace is ReadFrom for a reader that never blocks.
func (s *Stream) readInPlace(r io.Reader) (n int64, err error) {
	if err := s.write.enter(); err != nil {
		return 0, s.fail("write", err)
	}
	defer s.write.gate.Leave()
	for {
		room := min(int64(s.chunk()), most(r))
		ctx := s.write.deadline.context()
		switch {
		case room <= 0:
			return n, nil
		case ctx.Err() != nil:
			return n, s.fail("write", os.ErrDeadlineExceeded)
		}
		b, err := s.c.Reserve(ctx, int(room))
		if err != nil {
			return n, s.fail("write", err)
		}
		m, err := r.Read(b)
		if m > 0 {
			s.c.Commit(m)
			n += int64(m)
		} else {
			s.c.Abort()
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// WriteTo writes to w what arrives until the end. It implements io.WriterTo.
// While w blocks, others may read.
func (s *Stream) WriteTo(w io.Writer) (n int64, err error) {
	buf := copyBuffers.Get().(*[maxChunk]byte)
	for err == nil {
		var m, wrote int
		if m, err = s.Read(buf[:]); m == 0 {
			break
		}
		wrote, err = w.Write(buf[:m])
		n += int64(min(max(wrote, 0), m))
		if err == nil && wrote != m {
			err = io.ErrShortWrite
		}
	}
	copyBuffers.Put(buf) // not after a panic: w may still have it
	if err == io.EOF {
		err = nil
	}
	return n, err
}
