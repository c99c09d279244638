//go:build linux

package value_test

import (
	"fmt"
	"testing"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/value"
)

// A sized is a set of roles for one payload type.
type sized struct {
	name string
	size int
	// create makes a record of the 0th value.
	create func(t testing.TB) (name string)
	// write makes the next value again and again.
	write func(name string)
	// store stores values as fast as it can.
	store func(name string)
	// read loads values and checks them, and says how many tries it took. If
	// they came from write, exact, value k is version k.
	read    func(name string, loads int, exact bool) (tries, most int)
	version func(t testing.TB, name string) uint64
	starve  func(t *testing.T, size string, writers, fair int)
}

var sizes = []sized{
	sizedFor[[1]byte]("1B"), sizedFor[[13]byte]("13B"), sizedFor[[64]byte]("64B"),
	sizedFor[[256]byte]("256B"), sizedFor[[4 << 10]byte]("4KiB"), sizedFor[[64 << 10]byte]("64KiB"),
}

func sizedFor[T payload](name string) sized {
	return sized{
		name: name, size: len(mem.BytesOf(new(T))),
		create: func(t testing.TB) string {
			name := fresh(t)
			r := must(value.CreateRecord(name, fill[T](0), nil))
			t.Cleanup(func() { r.Close() })
			return name
		},
		write:   writeFor[T],
		store:   storeFor[T],
		read:    readFor[T],
		version: versionFor[T],
		starve:  starveFor[T],
	}
}

// writeFor makes the next value again and again, of which version k is the k-th,
// until the parent has gone.
func writeFor[T payload](name string) {
	r := must(value.OpenRecord[T](name, nil))
	shmtest.Say("writing")
	go func() {
		for n := uint64(0); ; {
			must(r.Update(bg, func(v T) T {
				n = r.Version() + 1
				if !whole(v, n-1) {
					panic(fmt.Sprintf("under the lock, version %d is torn", n-1))
				}
				return fill[T](n)
			}))
		}
	}()
	shmtest.Hear()
}

func storeFor[T payload](name string) {
	r := must(value.OpenRecord[T](name, nil))
	vs := make([]T, 7)
	for i := range vs {
		vs[i] = fill[T](uint64(i) * 0x0123456789abcdef)
	}
	shmtest.Say("writing")
	go func() {
		for i := 0; ; i++ {
			check(r.Store(bg, vs[i%len(vs)]))
		}
	}()
	shmtest.Hear()
}

func readFor[T payload](name string, loads int, exact bool) (tries, most int) {
	r := must(value.OpenRecord[T](name, nil))
	last := uint64(0)
	for range loads {
		v, k, n := value.LoadCounted(r)
		if exact && !whole(v, k) || len(mem.BytesOf(&v)) >= 8 && !whole(v, which(v)) {
			panic(fmt.Sprintf("version %d is torn", k))
		}
		if k < last {
			panic(fmt.Sprintf("version %d after %d", k, last))
		}
		last, tries, most = k, tries+n, max(most, n)
	}
	return tries, most
}

func versionFor[T payload](t testing.TB, name string) uint64 {
	r := must(value.OpenRecord[T](name, nil))
	defer r.Close()
	return r.Version()
}

func sizeNamed(name string) sized {
	for _, s := range sizes {
		if s.name == name {
			return s
		}
	}
	panic("no size " + name)
}

func init() {
	roles["record-write"] = func(args []string) int {
		sizeNamed(args[0]).write(args[1])
		return 0
	}
	roles["record-store"] = func(args []string) int {
		sizeNamed(args[0]).store(args[1])
		return 0
	}
	roles["record-read"] = func(args []string) int {
		tries, most := sizeNamed(args[0]).read(args[1], number(args[2]), args[3] == "exact")
		shmtest.Say("%d %d", tries, most)
		return 0
	}
}

// Whatever several writers do, in processes of their own, each value that a reader
// loads is whole, and versions never go back.
func TestLoadIsNeverTorn(t *testing.T) {
	tornFree(t, "record-store", "any", 1500000)
}

// With writers that count, each is the value of that version.
func TestVersionNamesTheValue(t *testing.T) {
	tornFree(t, "record-write", "exact", 100000)
}

func tornFree(t *testing.T, writer, mode string, most int) {
	retries := 0
	for _, s := range sizes {
		t.Run(s.name, func(t *testing.T) {
			name := s.create(t)
			loads := fewer(most / (1 + s.size/64))
			for range 2 {
				c := shmtest.Start(t, writer, s.name, name)
				c.Expect("writing")
			}
			r := shmtest.Start(t, "record-read", s.name, name, fmt.Sprint(loads), mode)
			tries, most := s.read(name, loads, mode == "exact")
			var n, m int
			must(fmt.Sscan(r.Line(), &n, &m))
			tries, most = tries+n, max(most, m)
			t.Logf("%d loads took %d tries, one of them %d; %d versions were written",
				2*loads, tries, most, s.version(t, name))
			retries += tries - 2*loads
		})
	}
	if retries == 0 && !t.Failed() {
		t.Error("no load was overtaken: the test shows nothing")
	}
}
