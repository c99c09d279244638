//go:build linux

package conn_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm"
)

// A hostile listener: the dialer gets an error that says what is wrong.
func TestHostileListeners(t *testing.T) {
	key := []byte("secret")
	file := func(t *testing.T) *os.File { return os.Stdin }
	for name, tt := range map[string]struct {
		do   func(t *testing.T, r raw)
		key  []byte
		want error
	}{
		"hangs up":               {func(t *testing.T, r raw) {}, nil, conn.ErrHungUp},
		"hangs up after hello":   {func(t *testing.T, r raw) { r.hear(); r.say(conn.NewHello(nil)); r.hear() }, nil, conn.ErrHungUp},
		"garbage":                {func(t *testing.T, r raw) { r.say([]byte("220 ESMTP")) }, nil, conn.ErrProtocol},
		"huge":                   {func(t *testing.T, r raw) { r.say(make([]byte, 60_000)) }, nil, conn.ErrProtocol},
		"version":                {func(t *testing.T, r raw) { r.say(edit(conn.NewHello(nil), 9, 7)) }, nil, conn.ErrProtocol},
		"file":                   {func(t *testing.T, r raw) { r.say(conn.NewHello(nil), file(t)) }, nil, conn.ErrProtocol},
		"no key":                 {func(t *testing.T, r raw) { r.say(conn.NewHello(nil)) }, key, conn.ErrAuth},
		"key":                    {func(t *testing.T, r raw) { r.say(conn.NewHello(key)) }, nil, conn.ErrAuth},
		"no proof":               {func(t *testing.T, r raw) { r.say(conn.NewHello(key)); r.say([]byte("M")) }, key, conn.ErrAuth},
		"our own proof":          {func(t *testing.T, r raw) { r.hear(); r.say(conn.NewHello(key)); r.say(r.hear()) }, key, conn.ErrAuth},
		"welcome for a proof":    {func(t *testing.T, r raw) { r.say(conn.NewHello(key)); r.say([]byte("W")) }, key, conn.ErrProtocol},
		"handle for the welcome": {func(t *testing.T, r raw) { r.say(conn.NewHello(nil)); r.say([]byte("F"), file(t)) }, nil, conn.ErrProtocol},
		"refusal":                {func(t *testing.T, r raw) { r.say([]byte("R\x00\x1b[2J" + strings.Repeat("y", 2000))) }, nil, conn.ErrRefused},
		"not allowed":            {func(t *testing.T, r raw) { r.say([]byte("R\x03")) }, nil, conn.ErrNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			shmtest.NoLeaks(t)
			addr := t.TempDir() + "/s"
			sock := rawListener(t, addr)
			out := make(chan error)
			go func() {
				_, err := conn.Dial(bg, addr, &conn.DialOptions{Key: tt.key, Conn: *small})
				out <- err
			}()
			c := must(sock.AcceptUnix())
			tt.do(t, raw{t, c})
			if tt.want != conn.ErrHungUp {
				defer c.Close() // it stays, and the dialer leaves
			} else {
				c.Close()
			}
			err := <-out
			is(t, "Dial", err, tt.want)
			if strings.ContainsAny(err.Error(), "\x1b\n") || len(err.Error()) > 500 {
				t.Errorf("the error is %q", err)
			}
			t.Log(err)
		})
	}
}

// What a dialer says over the socket when it has been let in does no harm either.
func TestHostileSideband(t *testing.T) {
	shmtest.NoLeaks(t)
	l := listen(t, "", nil)
	r := dialRaw(t, l.Addr())
	own, other := newPipe(t, small)
	f, desc, err := shm.Export(other)
	if err != nil {
		t.Fatal(err)
	}
	r.greet(nil)
	r.say(append([]byte("O"), desc...), f)
	f.Close()
	a := must(l.Accept(bg))
	defer a.Close()
	if b := r.hear(); string(b) != "W" {
		t.Fatalf("no welcome: %q", b)
	}
	for _, kind := range conn.PacketTypes[:5] {
		r.say([]byte(string(kind)))
		r.say([]byte(string(kind)), os.Stdin) // closed, and ignored
	}
	r.say([]byte("F"))
	_, err = a.RecvFile(bg)
	is(t, "no file", err, conn.ErrProtocol)
	r.say([]byte("F"), os.Stdin, os.Stdin)
	_, err = a.RecvFile(bg)
	is(t, "two files", err, conn.ErrProtocol)
	r.say(bytes.Repeat([]byte("F"), conn.MaxPacket+1), os.Stdin)
	_, err = a.RecvFile(bg)
	is(t, "long packet", err, conn.ErrProtocol)
	r.say([]byte("Fjunk"), os.Stdin)
	_, err = a.RecvConn(bg, nil)
	var format *shm.FormatError
	if !errors.As(err, &format) {
		t.Errorf("RecvConn = %v", err)
	}
	r.say([]byte("Fjunk"), os.Stdin)
	_, err = a.RecvFile(bg)
	is(t, "a handle for a file", err, conn.ErrProtocol)
	send(t, own, "all is well")
	expect(t, a, "all is well")
	r.Close()
	if _, err := a.RecvFile(bg); err == nil {
		t.Error("a file of nobody")
	}
	// Without the socket the connection goes on: only the memory tells its end.
	send(t, a, "still")
	expect(t, own, "still")
	own.Close()
	expectEOF(t, a)
}
