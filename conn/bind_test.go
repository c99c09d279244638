//go:build linux

package conn_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// L1: the default address is a path in a new directory for this user alone, which
// goes with the listener.
func TestListenSomewhere(t *testing.T) {
	shmtest.NoLeaks(t)
	l := must(conn.Listen("", nil))
	dir := must(os.Lstat(filepath.Dir(l.Addr())))
	if dir.Mode().Perm() != 0o700 {
		t.Error(dir.Mode())
	}
	if file := must(os.Lstat(l.Addr())); file.Mode() != fs.ModeSocket|0o600 {
		t.Error(file.Mode())
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Dir(l.Addr())); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// L2: what cannot be an address is an error.
func TestBadAddresses(t *testing.T) {
	shmtest.NoLeaks(t)
	for _, addr := range []string{"\x00abstract", "/nowhere/at/all", strings.Repeat("x", 200), "@" + strings.Repeat("x", 200)} {
		if _, err := conn.Listen(addr, nil); err == nil {
			t.Errorf("listens at %.20q", addr)
		}
		if _, err := conn.Dial(bg, addr, nil); err == nil {
			t.Errorf("dialled %.20q", addr)
		}
	}
}

// The mode of the socket's file is the one asked for, whatever the umask.
func TestListenMode(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o660, 0o666, 0o400} {
		l := listen(t, t.TempDir()+"/s", &conn.ListenOptions{Mode: mode})
		if got := must(os.Lstat(l.Addr())).Mode(); got != fs.ModeSocket|mode {
			t.Errorf("%v, want %v", got, mode)
		}
	}
}

// L3: a live listener has its address for itself, of whatever kind it is.
func TestAddressInUse(t *testing.T) {
	shmtest.NoLeaks(t)
	for _, addr := range []string{t.TempDir() + "/s", fmt.Sprint("@sluice-use-", os.Getpid())} {
		l := must(conn.Listen(addr, nil))
		for range 3 {
			_, err := conn.Listen(addr, nil)
			is(t, "Listen", err, conn.ErrAddressInUse, fs.ErrExist, syscall.EADDRINUSE)
		}
		goodClient(t, l, nil)
		l.Close()
		l = must(conn.Listen(addr, nil))
		goodClient(t, l, nil)
		l.Close()
	}
	addr := t.TempDir() + "/stream"
	other := must(net.Listen("unix", addr))
	_, err := conn.Listen(addr, nil)
	is(t, "a stream's", err, conn.ErrAddressInUse)
	_, err = conn.Dial(bg, addr, nil)
	is(t, "dial a stream's", err, syscall.EPROTOTYPE)
	other.Close()
}

// A file that is no socket is never touched.
func TestListenNeverTouchesFiles(t *testing.T) {
	shmtest.NoLeaks(t)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", []byte("precious"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(dir+"/dir", 0o755), os.Symlink("file", dir+"/link"), os.Symlink("nowhere", dir+"/broken")); err != nil {
		t.Fatal(err)
	}
	before := must(os.Lstat(dir + "/file"))
	for _, name := range []string{"file", "dir", "link", "broken"} {
		_, err := conn.Listen(dir+"/"+name, nil)
		is(t, name, err, conn.ErrAddressInUse, fs.ErrExist)
	}
	after := must(os.Lstat(dir + "/file"))
	if b := must(os.ReadFile(dir + "/file")); string(b) != "precious" || after.Mode() != before.Mode() || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("%q %v", b, after)
	}
}

// L4: the socket of a listener that was killed, or that ended without closing, is
// taken over.
func TestStaleSocketIsTakenOver(t *testing.T) {
	shmtest.NoLeaks(t)
	addr := t.TempDir() + "/s"
	for i := range 4 {
		c := shmtest.Start(t, "listener", addr)
		c.Expect("listening")
		if i%2 == 0 {
			c.Kill()
		} else {
			c.Exit()
		}
		if _, err := os.Lstat(addr); err != nil {
			t.Fatal(err)
		}
		_, err := conn.Dial(bg, addr, nil)
		is(t, "Dial", err, syscall.ECONNREFUSED)
	}
	l := listen(t, addr, nil)
	goodClient(t, l, nil)
	l.Close()
	// L9: closing removes the file, and only that one.
	if _, err := os.Lstat(addr); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	_, err := conn.Dial(bg, addr, nil)
	is(t, "Dial", err, fs.ErrNotExist)
}

// listener listens, serves those who connect with an echo, or with one that it
// receives nothing after, and ends without closing anything.
func init() {
	roles["listener"] = func(args []string) int {
		l := must(conn.Listen(args[0], nil))
		var all []*conn.Conn // so that none is garbage
		go func() {
			for {
				c, err := l.Accept(bg)
				if err != nil {
					return
				}
				all = append(all, c)
				go func() {
					for m := range c.AllBytes(bg) {
						c.SendBytes(bg, m)
						if len(args) > 1 {
							return
						}
					}
					c.Close()
				}()
			}
		}()
		shmtest.Say("listening")
		shmtest.Hear()
		runtime.KeepAlive(&all)
		return 0
	}
}

// L9: a listener does not remove what took the place of its file.
func TestCloseRemovesOnlyItsFile(t *testing.T) {
	shmtest.NoLeaks(t)
	addr := t.TempDir() + "/s"
	l := must(conn.Listen(addr, nil))
	if err := os.Remove(addr); err != nil {
		t.Fatal(err)
	}
	next := listen(t, addr, nil)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	goodClient(t, next, nil)
	if err := errors.Join(os.Remove(addr), os.WriteFile(addr, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(addr); err != nil {
		t.Error(err)
	}
}

// A relative path is that of the moment of Listen.
func TestRelativeAddress(t *testing.T) {
	t.Chdir(t.TempDir())
	l := must(conn.Listen("s", nil))
	goodClient(t, l, nil)
	path := must(filepath.Abs("s"))
	t.Chdir(t.TempDir())
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// Several processes race for a stale socket: exactly one gets it, each time.
func TestRaceForStaleSocket(t *testing.T) {
	shmtest.NoLeaks(t)
	addr := t.TempDir() + "/s"
	var racers []*shmtest.Child
	for range 4 {
		c := shmtest.Start(t, "racer", addr)
		c.Expect("ready")
		racers = append(racers, c)
	}
	rounds := 200
	if testing.Short() {
		rounds = 30
	}
	wins := make([]int, len(racers))
	for range rounds {
		stale := rawListener(t, addr)
		stale.SetUnlinkOnClose(false)
		stale.Close()
		for _, c := range racers {
			c.Send("go")
		}
		winner := -1
		for i, c := range racers {
			switch line := c.Line(); {
			case line == "won" && winner < 0:
				winner = i
			case line != "in use":
				t.Fatalf("racer %d: %s, racer %d has won", i, line, winner)
			}
		}
		if winner < 0 {
			t.Fatal("nobody has won")
		}
		wins[winner]++
		must(conn.Dial(bg, addr, &conn.DialOptions{Conn: *small})).Close()
		for _, c := range racers {
			c.Send("close")
			c.Expect("closed")
		}
		if _, err := os.Lstat(addr); !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	t.Logf("%d rounds, won by %v", rounds, wins)
	for _, c := range racers {
		c.Exit()
	}
}

func init() {
	roles["racer"] = func(args []string) int {
		shmtest.Say("ready")
		for {
			if _, ok := shmtest.Hear(); !ok {
				return 0
			}
			l, err := conn.Listen(args[0], nil)
			switch {
			case err == nil:
				shmtest.Say("won")
			case errors.Is(err, conn.ErrAddressInUse):
				shmtest.Say("in use")
			default:
				shmtest.Say("%v", err)
			}
			shmtest.Hear()
			if l != nil {
				l.Close()
			}
			shmtest.Say("closed")
		}
	}
}

// Somebody who keeps the directory locked makes Listen fail, and not hang; Close
// does not need the lock.
func TestLockedDirectory(t *testing.T) {
	shmtest.NoLeaks(t)
	dir := t.TempDir()
	l := must(conn.Listen(dir+"/s", nil))
	d := must(os.Open(dir))
	defer d.Close()
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Listen(dir+"/t", nil)
	is(t, "Listen", err, conn.ErrBusy)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
