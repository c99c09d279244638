//go:build linux

package conn_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
	"github.com/sluice-ipc/sluice/shm"
)

// offerOf is an attack with a file and a description that are what make says.
func offerOf(key []byte, name string, here error, make func(t *testing.T) (*os.File, string)) attack {
	return attack{name: name, here: here, there: conn.ErrRefused, do: func(t *testing.T, r raw) {
		f, desc := make(t)
		t.Cleanup(func() { f.Close() })
		r.greet(key)
		r.say(append([]byte("O"), desc...), f)
	}}
}

// falseOffers are offers of what is no end of a pipe.
func falseOffers(key []byte) []attack {
	var all []attack
	for name, open := range notMemory {
		all = append(all, offerOf(key, name, formatError, func(t *testing.T) (*os.File, string) {
			_, desc := exported(t)
			return open(t), desc
		}))
	}
	for name, change := range map[string]func(desc string) string{
		"no description":      func(string) string { return "" },
		"description of junk": func(string) string { return "%zz\x00\xff;;=" },
		"description too long": func(d string) string {
			return d + "&x=" + strings.Repeat("x", conn.MaxPacket-4-len(d))
		},
		"nobody's end":        func(d string) string { return strings.Replace(d, "id=", "id=0&x=", 1) },
		"a slot out of range": func(d string) string { return strings.Replace(d, "id=", "id=7777777777777777777&x=", 1) },
		"another identity": func(d string) string {
			return strings.Replace(d, "uuid=", "uuid=0123456789abcdef0123456789abcdef&x=", 1)
		},
	} {
		all = append(all, offerOf(key, name, formatError, func(t *testing.T) (*os.File, string) {
			f, desc := exported(t)
			return f, change(desc)
		}))
	}
	return append(all,
		offerOf(key, "another incarnation", formatError, func(t *testing.T) (*os.File, string) {
			f, desc := exported(t)
			return f, strings.Replace(desc, "id=", "id=4294967305&x=", 1) // slot 1
		}),
		offerOf(key, "an end whose lock it does not hold", shm.ErrLost, func(t *testing.T) (*os.File, string) {
			f, desc := exported(t)
			t.Cleanup(func() { f.Close() })
			return must(os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDWR, 0)), desc
		}),
		offerOf(key, "an end for reading only", shm.ErrLost, func(t *testing.T) (*os.File, string) {
			f, desc := exported(t)
			t.Cleanup(func() { f.Close() })
			return must(os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))), desc
		}),
		offerOf(key, "a segment that is no pipe", formatError, func(t *testing.T) (*os.File, string) {
			s := must(shm.Anonymous("raw", &shm.Options{Size: 1 << 16}))
			defer s.Close()
			f, desc, err := shm.Export(s)
			if err != nil {
				t.Fatal(err)
			}
			return f, desc
		}),
		offerOf(key, "a pipe for more participants", formatError, func(t *testing.T) (*os.File, string) {
			s := must(conn.CrowdedPipe())
			defer s.Close()
			f, desc, err := shm.Export(s)
			if err != nil {
				t.Fatal(err)
			}
			return f, desc
		}),
		offerOf(key, "an end that is half closed", conn.ErrDirection, func(t *testing.T) (*os.File, string) {
			a, b := newPipe(t, small)
			_ = a
			if err := b.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			f, desc, err := shm.Export(b)
			if err != nil {
				t.Fatal(err)
			}
			return f, desc
		}),
		offerOf(key, "half a simplex pipe", conn.ErrDirection, func(t *testing.T) (*os.File, string) {
			r, w, err := conn.SimplexPipe(small)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { w.Close() })
			f, desc, err := shm.Export(r)
			if err != nil {
				t.Fatal(err)
			}
			return f, desc
		}),
	)
}

// exported is an end of a good pipe, on its way.
func exported(t *testing.T) (*os.File, string) {
	a, b := newPipe(t, small)
	_ = a
	f, desc, err := shm.Export(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, desc
}

// notMemory opens what is not memory of a fixed size, or no segment.
var notMemory = map[string]func(t *testing.T) *os.File{
	"file":      func(t *testing.T) *os.File { return must(os.CreateTemp(t.TempDir(), "")) },
	"directory": func(t *testing.T) *os.File { return must(os.Open(t.TempDir())) },
	"dev zero":  func(t *testing.T) *os.File { return must(os.OpenFile("/dev/zero", os.O_RDWR, 0)) },
	"fifo": func(t *testing.T) *os.File {
		if err := syscall.Mkfifo(t.TempDir()+"/f", 0o600); err != nil {
			t.Fatal(err)
		}
		return must(os.OpenFile(t.TempDir()+"/../001/f", os.O_RDWR, 0))
	},
	"socket": func(t *testing.T) *os.File {
		fds := must(syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0))
		syscall.Close(fds[1])
		return os.NewFile(uintptr(fds[0]), "socket")
	},
	"memfd that is not sealed": func(t *testing.T) *os.File { return memfd(1<<16, false) },
	"sealed memfd of zeros":    func(t *testing.T) *os.File { return memfd(1<<16, true) },
	"sealed memfd of noughts": func(t *testing.T) *os.File {
		f := memfd(1<<16, false)
		must(f.Write(make([]byte, 1<<16)))
		if err := sys.AddSeals(int(f.Fd())); err != nil {
			t.Fatal(err)
		}
		return f
	},
	"empty sealed memfd": func(t *testing.T) *os.File { return memfd(0, true) },
	"huge memfd":         func(t *testing.T) *os.File { return memfd(1<<40, true) },
	"memfd that can grow": func(t *testing.T) *os.File {
		f := memfd(1<<16, false)
		const addSeals, sealShrink = 1033, 2
		if _, _, e := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), addSeals, sealShrink); e != 0 {
			t.Fatal(e)
		}
		return f
	},
	"pipe that is too large": func(t *testing.T) *os.File {
		a, _ := newPipe(t, &conn.Options{Size: 1 << 20})
		return must(conn.FileOf(a))
	},
}

func memfd(size int64, sealed bool) *os.File {
	f := os.NewFile(uintptr(must(sys.MemfdCreate("hostile"))), "hostile")
	if err := f.Truncate(size); err != nil {
		panic(err)
	}
	if sealed {
		if err := sys.AddSeals(int(f.Fd())); err != nil {
			panic(err)
		}
	}
	return f
}

// Memory that can change its size, or is too large, is refused before it is
// looked at: it could grow between a look and the next.
func TestMemoryOfAStranger(t *testing.T) {
	shmtest.NoLeaks(t)
	for name, field := range map[string]string{
		"memfd that is not sealed": "file",
		"memfd that can grow":      "file",
		"file":                     "file",
		"dev zero":                 "file",
		"huge memfd":               "size",
		"sealed memfd of zeros":    "bytes that are there",
		"sealed memfd of noughts":  "",
	} {
		f := notMemory[name](t)
		err := conn.CheckMemory(f, 1<<20)
		f.Close()
		var format *shm.FormatError
		if errors.As(err, &format) != (field != "") || field != "" && format.Field != field {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A pipe with room for many participants could make us watch as many processes.
func TestImportOfACrowdedPipe(t *testing.T) {
	shmtest.NoLeaks(t)
	s := must(conn.CrowdedPipe())
	defer s.Close()
	f, desc, err := shm.Export(s)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var format *shm.FormatError
	if _, err := conn.Import(f, desc, nil); !errors.As(err, &format) || format.Field != "participants" {
		t.Error(err)
	}
}
