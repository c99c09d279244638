//go:build linux

package conn_test

import (
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
)

// tree is a type with everything that a decoder may have to fill.
type tree struct {
	Name  string
	Bytes []byte
	Nums  map[string]int
	Any   any
	Big   [][1024]int64
	Kids  []*tree
}

// FuzzRecv receives any bytes as an object: it must not panic, and must not
// allocate for what has not arrived.
func FuzzRecv(f *testing.F) {
	for _, v := range []any{nil, 42, []any{42, nil, "hello"}, map[string]any{"Name": "x", "Kids": []any{map[string]any{}}}} {
		b, err := conn.CBOR.MarshalAppend(nil, v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\x9b\x00\x00\x00\x00\x00\xff\xff\xff"))       // 16 Mi elements
	f.Add([]byte("\xa1cBig\x9a\x00\xff\xff\xff"))               // of 8 KiB each
	f.Add([]byte("\xbb\x00\x00\x00\x00\x00\x3f\xff\xff"))       // 4 Mi pairs
	f.Add([]byte("\x5b\x7f\xff\xff\xff\xff\xff\xff\xff"))       // a string of everything
	f.Add([]byte("\xc2\x5a\x10\x00\x00\x00"))                   // a number of 256 MiB
	f.Add([]byte("\xc0\x78\x1e2024-02-29T12:00:00.123456789Z")) // a time
	a, b := newPipe(f, &conn.Options{Size: 1 << 20})
	f.Fuzz(func(t *testing.T, msg []byte) {
		if len(msg) > a.MaxReserve() {
			return
		}
		targets := []any{new(any), new(tree), new([]tree), new(map[string]tree), new([]int8), new(string), new(*tree)}
		for _, ptr := range targets {
			if err := a.SendBytes(bg, msg); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := b.TryRecvTo(ptr)
			runtime.ReadMemStats(&after)
			var d *conn.DecodeError
			if err != nil && (!errors.As(err, &d) || errors.Is(err, io.EOF)) {
				t.Fatalf("RecvTo(%T) = %v", ptr, err)
			}
			// A tree's Big takes 8 KiB for a byte of input; nothing else is
			// as bad. Other goroutines may allocate meanwhile.
			if n := after.TotalAlloc - before.TotalAlloc; n > uint64(1<<20+len(msg)<<14) {
				t.Fatalf("RecvTo(%T) of %d bytes allocates %d", ptr, len(msg), n)
			}
		}
	})
}

// FuzzMemory lets a hostile process write anything anywhere into a pipe: who is
// at the other end gets wrong data or an error.
func FuzzMemory(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0}, uint16(0))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff"), uint16(1024+1024))   // a header
	f.Add([]byte("\x10\x00\x00\xc0\x00\x00\x00\x00"), uint16(1024+1024))   // a piece
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff"), uint16(1024+128))    // the head
	f.Add([]byte("\x01\x00\x00\x00\x01\x00\x00\x10"), uint16(1024+512))    // a role
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\x7f"), uint16(128))         // an end
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\x7f"), uint16(1024+5120+8)) // the other ring
	f.Fuzz(func(t *testing.T, junk []byte, at uint16) {
		a, b, err := conn.Pipe(small)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		defer a.Close()
		send(t, a, "one", "two")
		send(t, b, "three")
		m := conn.Memory(a)
		copy(m[min(int(at), len(m)):], junk)
		for range 4 {
			for _, c := range []*conn.Conn{a, b} {
				c.TrySendBytes(make([]byte, 100))
				c.TryRecvBytes()
				c.TryRecv()
				c.TryPoll()
				if _, err := c.TryPeek(); err == nil {
					c.More()
					c.Release()
				}
				c.RecvBytes(done)
				c.SendBytes(done, make([]byte, 5000))
				c.Peer()
			}
		}
	})
}

// Anything but the header that Pipe writes is refused, with an error that says
// what is wrong.
func TestBadHeaders(t *testing.T) {
	a, _ := newPipe(t, small)
	good := append([]byte(nil), conn.Memory(a)[:1024]...)
	whole := len(conn.Memory(a))
	for name, change := range map[string]func(b []byte) []byte{
		"pipe size":       func(b []byte) []byte { return b[:1023] },
		"pipe magic":      func(b []byte) []byte { b[0]++; return b },
		"pipe byte order": func(b []byte) []byte { b[24]++; return b },
		"pipe checksum":   func(b []byte) []byte { b[8] = 1; return b },
		"pipe rings":      func(b []byte) []byte { return resum(b, 8, 3) },
		"pipe stride":     func(b []byte) []byte { return resum(b, 16, 1<<20) },
	} {
		b := change(append(append([]byte(nil), good...), make([]byte, whole-1024)...))
		var e *shm.FormatError
		if err := conn.Examine(b); !errors.As(err, &e) || e.Field != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := conn.Examine(append(good, make([]byte, whole-1024)...)); err != nil {
		t.Error(err)
	}
}

// resum changes a field and makes the checksum right again.
func resum(b []byte, at int, v uint32) []byte {
	binary.NativeEndian.PutUint32(b[at:], v)
	binary.NativeEndian.PutUint32(b[28:], conn.Checksum(b))
	return b
}

// FuzzHeader examines any bytes as a pipe.
func FuzzHeader(f *testing.F) {
	a, _ := newPipe(f, small)
	f.Add(append([]byte(nil), conn.Memory(a)[:40]...), true)
	f.Fuzz(func(t *testing.T, head []byte, sum bool) {
		b := make([]byte, 1024+2*5120)
		copy(b, head)
		if sum {
			binary.NativeEndian.PutUint32(b[28:], conn.Checksum(b))
		}
		conn.Examine(b)
		conn.Examine(b[:min(len(head), len(b))])
	})
}

// A child that finds the header of its pipe destroyed is told so, and its death
// is noticed all the same.
func TestDestroyedHeader(t *testing.T) {
	a, b := newPipe(t, small)
	send(t, b, "sent before")
	m := conn.Memory(a)
	for i := range 40 {
		m[i] = '!'
	}
	c := spawn(t, b, "picky")
	for range 3 {
		c.Expect("pipe magic")
	}
	c.Exit()
	expect(t, a, "sent before")
	expectEOF(t, a)
	shmtest.Eventually(t, func() bool { return a.Peer().PID == 0 })
}
