//go:build linux

package place_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-ipc/sluice/internal/place"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
)

func TestMain(m *testing.M) {
	shmtest.Main(m, map[string]shmtest.Role{"inherit": inherit})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// spec is that of an object with a word for each slot.
var spec = place.Spec{
	Kind: shm.KindValue, Version: 7, Fingerprint: 42, ElemType: "thing",
	Size: func(slots int) int64 { return place.Round(int64(8 + 8*slots)) },
}

func anonymous(so *shm.Options) (*shm.Segment, error) { return shm.Anonymous("place", so) }

// again returns a Get that attaches to the segment of p once more.
func again(p place.Spot) place.Get {
	return func(so *shm.Options) (*shm.Segment, error) {
		f := must(p.Seg.File())
		defer f.Close()
		return shm.FromFile(f, so)
	}
}

func TestRound(t *testing.T) {
	for n, want := range map[int64]int64{0: 0, 1: 128, 128: 128, 129: 256, 1 << 40: 1 << 40} {
		if got := place.Round(n); got != want {
			t.Errorf("Round(%d) = %d, want %d", n, got, want)
		}
	}
}

// An object alone is as large as the slots of its segment ask for, for all who
// attach, whatever they ask for themselves.
func TestOpenAlone(t *testing.T) {
	shmtest.NoLeaks(t)
	for _, slots := range []int{0, 1, 512} {
		p := must(place.Open(&spec, shm.Options{MaxParticipants: slots}, anonymous))
		if slots == 0 {
			slots = place.DefaultSlots
		}
		q, err := place.Open(&spec, shm.Options{MaxParticipants: 3}, again(p))
		if slots == 1 {
			if !errors.Is(err, shm.ErrFull) {
				t.Errorf("a second one in one slot: %v", err)
			}
			check(p.Close())
			continue
		}
		check(err)
		for _, s := range []place.Spot{p, q} {
			if n := int(spec.Size(slots)); len(s.Data) != n || cap(s.Data) != n || !s.Own || s.Off != 0 {
				t.Errorf("%d slots: %d bytes (%d) at %d, own: %v", slots, len(s.Data), cap(s.Data), s.Off, s.Own)
			}
			if s.Name() != "memfd:place" {
				t.Errorf("its name is %q", s.Name())
			}
		}
		if p.Data[9] = 9; q.Data[9] != 9 || p.Key() != q.Key() {
			t.Error("they are not the same")
		}
		check(p.Close())
		check(q.Close())
		if q.Seg.Usable() {
			t.Error("Close has not closed the segment")
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	shmtest.NoLeaks(t)
	p := must(place.Open(&spec, shm.Options{}, anonymous))
	defer p.Close()
	sour := errors.New("sour")
	for what, c := range map[string]struct {
		change func(s *place.Spec)
		want   string
	}{
		"another kind":      {func(s *place.Spec) { s.Kind = shm.KindLock }, "kind is"},
		"another version":   {func(s *place.Spec) { s.Version++ }, "is 7, want 8"},
		"another type":      {func(s *place.Spec) { s.Fingerprint++; s.ElemType = "other" }, "thing"},
		"what is too small": {func(s *place.Spec) { s.Size = func(int) int64 { return 1 << 20 } }, "want 1048576 bytes at 0"},
		"by its own check": {func(s *place.Spec) {
			s.Check = func(name string, b []byte) error { return fmt.Errorf("%w: %s, %d", sour, name, len(b)) }
		}, "sour: memfd:place, 640"},
	} {
		other := spec
		c.change(&other)
		_, err := place.Open(&other, shm.Options{}, again(p))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
	if all := p.Seg.Participants(); len(all) != 1 {
		t.Errorf("participants: %+v", all)
	}
	if _, err := place.Open(&spec, shm.Options{MaxParticipants: 513}, anonymous); err == nil {
		t.Error("513 participants")
	}
}

// Init finds zeros, once, before anybody else sees the object.
func TestInit(t *testing.T) {
	calls, with := 0, spec
	with.Init = func(b []byte) { calls++; b[3]++ }
	with.Check = func(_ string, b []byte) error {
		if b[3] != 1 {
			return fmt.Errorf("found %d", b[3])
		}
		return nil
	}
	p := must(place.Open(&with, shm.Options{}, anonymous))
	defer p.Close()
	q := must(place.Open(&with, shm.Options{}, again(p)))
	defer q.Close()
	if calls != 1 {
		t.Errorf("called %d times", calls)
	}
}

func TestAt(t *testing.T) {
	shmtest.NoLeaks(t)
	s := must(shm.Anonymous("row", &shm.Options{Size: 1000}))
	for _, c := range []struct {
		off, size int64
		want      string // of the error, "" for none
	}{
		{0, 1000, ""}, {0, 0, ""}, {896, 104, ""}, {128, 128, ""},
		{0, 1001, "size of the data area is 1000, want 1001 bytes at 0"},
		{896, 105, "size of the data area is 1000, want 105 bytes at 896"},
		{1024, 0, "bytes at 1024"},
		{1 << 62, 1 << 62, "size of the data area"},
		{128, 1<<63 - 1, "size of the data area"},
		{0, -1, "size of the data area"},
		{-128, 1, "offset is -128, want a multiple of 128"},
		{-1 << 63, 1, "offset is"},
		{8, 8, "offset is 8, want a multiple of 128"},
	} {
		p, err := place.At(s, c.off, c.size)
		var f *shm.FormatError
		switch {
		case c.want == "" && (err != nil || int64(len(p.Data)) != c.size || int64(cap(p.Data)) != c.size):
			t.Errorf("%d at %d: %v, %d bytes", c.size, c.off, err, len(p.Data))
		case c.want != "" && (!errors.As(err, &f) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%d at %d: %v, want %q", c.size, c.off, err, c.want)
		}
	}
	a, b := must(place.At(s, 128, 8)), must(place.At(s, 256, 8))
	if a.Name() != "memfd:row+128" || a.Own || a.Key() == b.Key() {
		t.Errorf("its name is %q; own: %v", a.Name(), a.Own)
	}
	check(a.Close())
	if !s.Usable() {
		t.Error("Close of an object has closed the caller's segment")
	}
	check(s.Close())
	if _, err := place.At(s, 0, 8); !errors.Is(err, os.ErrClosed) {
		t.Errorf("At in a closed segment: %v", err)
	}
}

// Of those who claim a word for something else, one wins, and the others are told
// what is there.
func TestClaim(t *testing.T) {
	s := must(shm.Anonymous("claim", &shm.Options{Size: 256}))
	defer s.Close()
	p := must(place.At(s, 128, 128))
	if got, err := p.Claim(8, "colour", 0); got != 0 || err != nil {
		t.Errorf("nobody has said: %d, %v", got, err)
	}
	var wg sync.WaitGroup
	won := make(chan uint64, 8)
	for want := range uint64(8) {
		wg.Go(func() {
			if got, err := p.Claim(8, "colour", want+1); err == nil {
				won <- got
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d have won", len(won))
	}
	is := <-won
	for _, want := range []uint64{0, is} {
		if got, err := p.Claim(8, "colour", want); got != is || err != nil {
			t.Errorf("Claim of %d = %d, %v; it is %d", want, got, err, is)
		}
	}
	_, err := p.Claim(8, "colour", 99)
	if want := fmt.Sprintf("shm: memfd:claim+128: colour is %d, want 99", is); err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
	if n := binary.NativeEndian.Uint64(s.Data()[136:]); n != is {
		t.Errorf("the word is %d", n)
	}
}

// inherit attaches to what its parent passed.
func inherit([]string) int {
	p := must(place.Open(&spec, shm.Options{}, place.Inherited("alone")))
	shmtest.Say("%d %v", p.Data[9], p.Own)
	_, err := place.Open(&spec, shm.Options{}, place.Inherited("in a row"))
	shmtest.Say("%v", err)
	raw := spec
	raw.Kind, raw.Fingerprint, raw.Version = shm.KindRaw, 0, 0
	_, err = place.Open(&raw, shm.Options{}, place.Inherited("in a row"))
	shmtest.Say("%v", err)
	_, err = place.Open(&spec, shm.Options{}, place.Inherited("nothing"))
	shmtest.Say("%v", errors.Is(err, shm.ErrNotFound))
	shmtest.Hear()
	return 0
}

// passed is an object as a handle that can be passed.
type passed struct{ place.Spot }

func (p passed) Handover() (shm.Handover, error) { return p.Spot.Handover() }

func TestInherited(t *testing.T) {
	p := must(place.Open(&spec, shm.Options{}, anonymous))
	defer p.Close()
	p.Data[9] = 77
	s := must(shm.Anonymous("row", &shm.Options{Size: 4096}))
	defer s.Close()
	c := shmtest.Command(t, "inherit")
	check(shm.Pass(c.Cmd, "alone", passed{p}))
	check(shm.Pass(c.Cmd, "in a row", passed{must(place.At(s, 256, 8))}))
	c.Launch = shm.Start
	c.Start()
	c.Expect("77 true")
	for _, want := range []string{"kind is", "what was passed is at 256, want at 0"} {
		if line := c.Line(); !strings.Contains(line, want) {
			t.Errorf("the child says %q, want %q", line, want)
		}
	}
	c.Expect("true")
	if n := len(s.Participants()); n != 1 {
		t.Errorf("%d participants: what was refused is still there", n)
	}
	c.Exit()
}

// handle is what an object's users have.
type handle struct {
	spot place.Spot
	_    [64]byte // is not batched with other small ones
}

// A handle keeps the memory, and its collection gives everything back.
func TestHold(t *testing.T) {
	shmtest.NoLeaks(t)
	s := must(shm.Anonymous("hold", &shm.Options{Size: 256}))
	defer s.Close()
	peer := must(place.Open(&spec, shm.Options{}, anonymous))
	defer peer.Close()
	alone := &handle{spot: must(place.Open(&spec, shm.Options{}, again(peer)))}
	place.Hold(alone, &alone.spot)
	placed := &handle{spot: must(place.At(s, 128, 8))}
	place.Hold(placed, &placed.spot)
	closed := &handle{spot: must(place.Open(&spec, shm.Options{}, anonymous))}
	place.Hold(closed, &closed.spot)

	check(closed.spot.Close())
	for range 3 {
		runtime.GC()
	}
	closed.spot.Data[0]++ // still mapped
	id := alone.spot.Seg.ID()
	if peer.Seg.Gone(id) {
		t.Fatal("a handle that is reachable has been closed")
	}
	data := placed.spot.Data
	check(s.Close())
	data[0]++
	runtime.KeepAlive(alone)
	runtime.KeepAlive(placed)
	runtime.KeepAlive(closed)
	shmtest.Eventually(t, func() bool { runtime.GC(); return peer.Seg.Gone(id) }, "the forgotten one leaves")
	// NoLeaks waits for the mappings, but does not collect.
	maps := func() bool {
		runtime.GC()
		return !strings.Contains(strings.Join(shmtest.Mappings(), ""), "memfd:hold")
	}
	shmtest.Eventually(t, maps, "the caller's segment is unmapped")
}
