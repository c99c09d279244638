package main

import (
	"context"
	"os"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/shm"
)

// pipeConnImpl is conn.Pipe with SendBytes and RecvBytesInto, one copy on each
// side: the pipe as most will use it.
var pipeConnImpl = &impl{
	name:    "pipe-conn",
	benches: []string{benchRTT, benchThroughput},
	waits:   []string{waitSpin, waitBlock, waitAdaptive},
	share:   shareConn,
	open:    openConn,
}

func connOptions(s spec) *conn.Options {
	return &conn.Options{Size: ringSize(s.Size), Spin: spins[s.Wait], Prefault: true}
}

func shareConn(s spec) (*shared, error) {
	a, b, err := conn.Pipe(connOptions(s))
	if err != nil {
		return nil, err
	}
	return &shared{
		handles: [2][]shm.Handle{{a}, {b}},
		release: func() { // what has not been passed on
			a.Close()
			b.Close()
		},
	}, nil
}

func openConn(s spec, side int, files []*os.File) (endpoint, error) {
	c, err := conn.Inherited(handleName(0), connOptions(s))
	if err != nil {
		return nil, err
	}
	w := connWire{c}
	return newCopying(s, w, w), nil
}

type connWire struct{ c *conn.Conn }

func (w connWire) write(b []byte) error {
	return w.c.SendBytes(context.Background(), b)
}

func (w connWire) read(b []byte) (int, error) {
	return w.c.RecvBytesInto(context.Background(), b)
}

func (w connWire) close() error { return w.c.Close() }
