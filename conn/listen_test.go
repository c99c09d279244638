//go:build linux

package conn_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// What a dialer sends before Accept, and before it closes, arrives.
func TestDialSendClose(t *testing.T) {
	shmtest.NoLeaks(t)
	for _, addr := range []string{"", "@sluice-test-" + fmt.Sprint(os.Getpid()), t.TempDir() + "/s"} {
		l := must(conn.Listen(addr, nil))
		c := must(conn.Dial(bg, l.Addr(), nil))
		send(t, c, "one", "two")
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		a := must(l.Accept(bg))
		expect(t, a, "one", "two")
		if _, err := a.Recv(bg); err != io.EOF {
			t.Error(err)
		}
		if cred, ok := a.Credentials(); !ok || cred.PID != os.Getpid() || cred.UID != os.Getuid() {
			t.Error(cred, ok)
		}
		a.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if _, err := l.Accept(bg); !errors.Is(err, conn.ErrListenerClosed) || !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
		if _, err := conn.Dial(bg, l.Addr(), nil); err == nil {
			t.Error("dialled nobody")
		}
	}
}

// A key must be the same on both sides, or on neither.
func TestKeys(t *testing.T) {
	shmtest.NoLeaks(t)
	for _, tt := range []struct {
		listener, dialer []byte
		ok               bool
	}{
		{nil, nil, true},
		{[]byte("secret"), []byte("secret"), true},
		{[]byte("secret"), []byte("wrong"), false},
		{[]byte("secret"), nil, false},
		{nil, []byte("secret"), false},
	} {
		l := must(conn.Listen("", &conn.ListenOptions{Key: tt.listener}))
		c, err := conn.Dial(bg, l.Addr(), &conn.DialOptions{Key: tt.dialer})
		if tt.ok {
			if err != nil {
				t.Fatal(err)
			}
			a := must(l.Accept(bg))
			send(t, a, "hi")
			expect(t, c, "hi")
			a.Close()
			c.Close()
		} else if !errors.Is(err, conn.ErrAuth) {
			t.Errorf("%q, %q: %v", tt.listener, tt.dialer, err)
		}
		l.Close()
	}
}

// Files and connections travel over a connection.
func TestSendFilesAndConnections(t *testing.T) {
	shmtest.NoLeaks(t)
	l := must(conn.Listen("", nil))
	defer l.Close()
	c := must(conn.Dial(bg, l.Addr(), nil))
	defer c.Close()
	a := must(l.Accept(bg))
	defer a.Close()
	f := must(os.CreateTemp(t.TempDir(), ""))
	defer f.Close()
	f.WriteString("contents")
	if err := c.SendFile(bg, f); err != nil {
		t.Fatal(err)
	}
	x, y, err := conn.Pipe(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	send(t, x, "waiting")
	if err := c.SendHandle(bg, y); err != nil {
		t.Fatal(err)
	}
	g := must(a.RecvFile(bg))
	defer g.Close()
	g.Seek(0, 0)
	if b := string(must(io.ReadAll(g))); b != "contents" {
		t.Error(b)
	}
	z := must(a.RecvConn(bg, nil))
	expect(t, z, "waiting")
	send(t, z, "thanks")
	expect(t, x, "thanks")
	z.Close()
	expectEOF(t, x)
	ctx, cancel := context.WithCancel(bg)
	cancel()
	if _, err := a.RecvFile(ctx); !errors.Is(err, conn.ErrEmpty) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	c.Close()
	if _, err := a.RecvFile(bg); err != io.EOF {
		t.Error(err)
	}
}
