package ring_test

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strconv"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/ring"
)

// roles are what children of this package do; files add theirs.
var roles = map[string]shmtest.Role{}

func TestMain(m *testing.M) { shmtest.Main(m, roles) }

var bg = context.Background()

// starts are the first positions that tests begin at: the wrap of the 64-bit
// positions and of the 32 bits that a header holds of them are both crossed.
var starts = map[string]uint64{
	"zero":        0,
	"header wrap": 1<<35 - 1024,
	"wrap":        math.MaxUint64 - 1023,
}

// size is the memory that tests over plain memory ask for.
const size = ring.ControlSize + 4096

// pair attaches a writer and a reader to the ring in a and b, which are the
// same memory.
func pair(t testing.TB, a, b []byte, o *ring.Options) (*ring.Writer, *ring.Reader) {
	t.Helper()
	if err := ring.Init(a, o); err != nil {
		t.Fatal(err)
	}
	rw, err := ring.Attach(a, o)
	if err != nil {
		t.Fatal(err)
	}
	rr, err := ring.Attach(b, o)
	if err != nil {
		t.Fatal(err)
	}
	w, err := rw.Writer()
	if err != nil {
		t.Fatal(err)
	}
	rd, err := rr.Reader()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		rw.Close()
		rr.Close()
	})
	return w, rd
}

// payload makes a message that says which one it is and whether it is whole.
func payload(i, n int) []byte {
	b := make([]byte, max(n, 16))
	binary.LittleEndian.PutUint64(b, uint64(i))
	for j := 16; j < len(b); j++ {
		b[j] = byte(i*31 + j)
	}
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)))
	binary.LittleEndian.PutUint32(b[12:], crc32.ChecksumIEEE(b[16:]))
	return b
}

// number checks a message of payload and returns which one it is.
func number(t testing.TB, b []byte) int {
	t.Helper()
	if len(b) < 16 || int(binary.LittleEndian.Uint32(b[8:])) != len(b) ||
		binary.LittleEndian.Uint32(b[12:]) != crc32.ChecksumIEEE(b[16:]) {
		t.Fatalf("torn message of %d bytes: % x", len(b), b[:min(len(b), 32)])
	}
	return int(binary.LittleEndian.Uint64(b))
}

// deal returns a size for message i: mostly small, up to the largest frame.
func deal(i, most int) int {
	switch i % 7 {
	case 0:
		return 16
	case 1:
		return most
	default:
		return 16 + i*37%most
	}
}

func atoi(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
