//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/sluice-ipc/sluice/internal/sys"
)

// polled is a descriptor that is never slept on: every call returns at once,
// and is made again when it achieved nothing.
type polled struct {
	f      *os.File // keeps fd open
	fd     int
	packet bool // one read is one message
	crowd  bool // there are more processes than CPUs
}

func newPolled(f *os.File, packet, crowd bool) (wire, error) {
	fd := int(f.Fd())
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("bench: make descriptor non-blocking: %w", err)
	}
	return &polled{f, fd, packet, crowd}, nil
}

func (p *polled) write(b []byte) error {
	for len(b) > 0 {
		n, err := syscall.Write(p.fd, b)
		if err == syscall.EAGAIN || err == syscall.EINTR {
			p.yield()
			continue
		}
		if err != nil {
			return fmt.Errorf("bench: write: %w", err)
		}
		b = b[n:]
	}
	return nil
}

func (p *polled) read(b []byte) (int, error) {
	at := 0
	for at < len(b) {
		n, err := syscall.Read(p.fd, b[at:])
		if err == syscall.EAGAIN || err == syscall.EINTR {
			p.yield()
			continue
		}
		if err != nil {
			return at, fmt.Errorf("bench: read: %w", err)
		}
		if n == 0 {
			return at, io.ErrUnexpectedEOF
		}
		at += n
		if p.packet {
			break
		}
	}
	return at, nil
}

// yield lets others of a crowd have the CPU, as whoever polls in one should.
func (p *polled) yield() {
	if p.crowd {
		sys.Yield()
	}
}

func (p *polled) close() error { return p.f.Close() }
