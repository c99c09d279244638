//go:build linux

package conn_test

import (
	"errors"
	"os"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/shm"
)

// FuzzPackets says two packets of anything to a listener, in place of those of the
// handshake, the second with a file: it refuses them with an error of a known kind
// or waits for more, and its own connections go on.
func FuzzPackets(f *testing.F) {
	key := []byte("secret")
	f.Add([]byte("GET /"), []byte("O"), false)
	f.Add(conn.NewHello(nil), []byte("Oid=1&fd=3&uuid=00"), false)
	f.Add(conn.NewHello(nil), []byte("Odetail=rw&fd=3&id=4294967297&name=&segment=memfd%3Apipe&uuid=00112233445566778899aabbccddeeff"), true)
	f.Add(conn.NewHello(key), []byte("M01234567890123456789012345678901"), true)
	f.Add([]byte("R\x01no"), []byte("W"), false)
	a, b := newPipe(f, small)
	defer b.Close()
	failed := newFailures()
	l := listen(f, "", &conn.ListenOptions{Failed: failed.add})
	f.Fuzz(func(t *testing.T, first, second []byte, memory bool) {
		if len(first) == 0 || len(second) == 0 || len(first) > 1<<16 || len(second) > 1<<16 {
			return
		}
		// What is done with a packet is done alone, too.
		conn.CheckHello(first, key)
		conn.CheckHello(first, nil)
		conn.CheckProof(first, key)
		if len(first) > 1 {
			conn.CheckRefusal(first)
		}
		file := os.Stdin
		if memory {
			file = must(conn.FileOf(a))
			defer file.Close()
		}
		if c, err := conn.Import(file, string(second[1:]), nil); err == nil {
			c.Close()
		}
		r := dialRaw(t, l.Addr())
		r.say(first)
		r.say(second, file)
		r.Close()
		err := <-failed.c
		var format *shm.FormatError
		for _, kind := range []error{conn.ErrProtocol, conn.ErrAuth, conn.ErrRefused, shm.ErrLost, shm.ErrBusy} {
			if errors.Is(err, kind) {
				return
			}
		}
		if !errors.As(err, &format) {
			t.Errorf("%q, %q: %v", first, second, err)
		}
	})
}
