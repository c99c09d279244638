package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
)

// unixImpl is the yardstick: what separate processes on one machine use today.
var unixImpl = &impl{
	name:    "unix",
	benches: []string{benchRTT, benchThroughput},
	waits:   []string{waitSpin, waitBlock},
	share:   func(s spec) (*shared, error) { return shareSocket("unix") },
	open:    openSocket,
}

// unixpacketImpl keeps message boundaries. A message must fit the socket's
// send buffer, which is 208 KiB on an untuned Linux.
var unixpacketImpl = &impl{
	name:    packetName,
	benches: []string{benchRTT, benchThroughput, benchFanIn},
	waits:   []string{waitSpin, waitBlock},
	max:     64 << 10,
	share:   func(s spec) (*shared, error) { return shareSocket(packetName) },
	open:    openSocket,
}

const packetName = "unixpacket"

// shareSocket makes a connected pair of sockets.
func shareSocket(network string) (*shared, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // the connection outlives its name
	path := filepath.Join(dir, "s")
	l, err := net.Listen(network, path)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	// Connecting completes before it is accepted: the backlog holds it.
	a, err := net.Dial(network, path)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	b, err := l.Accept()
	if err != nil {
		return nil, err
	}
	defer b.Close()
	sh := &shared{}
	for i, c := range []net.Conn{a, b} {
		f, err := c.(*net.UnixConn).File()
		if err != nil {
			sh.close()
			return nil, err
		}
		sh.files[i] = []*os.File{f}
	}
	return sh, nil
}

func openSocket(s spec, side int, files []*os.File) (endpoint, error) {
	packet := s.Impl == packetName
	if s.Wait == waitSpin {
		w, err := newPolled(files[0], packet, s.fan())
		if err != nil {
			return nil, err
		}
		return newCopying(s, w, w), nil
	}
	c, err := net.FileConn(files[0])
	if err != nil {
		return nil, fmt.Errorf("bench: open inherited socket: %w", err)
	}
	files[0].Close() // FileConn has made a copy
	w := &stream{c, packet}
	return newCopying(s, w, w), nil
}

// stream is a wire over what Go hands out: it sleeps as Go sleeps.
type stream struct {
	rw     io.ReadWriteCloser
	packet bool // one read is one message
}

func (w *stream) write(b []byte) error {
	_, err := w.rw.Write(b)
	return err
}

func (w *stream) read(b []byte) (int, error) {
	if w.packet {
		return w.rw.Read(b)
	}
	return io.ReadFull(w.rw, b)
}

func (w *stream) close() error { return w.rw.Close() }
