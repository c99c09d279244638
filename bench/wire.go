package main

// A wire carries whole messages and copies them: sockets, os.Pipe, and whoever
// else takes and gives bytes.
type wire interface {
	write(b []byte) error
	read(b []byte) (int, error) // one message; b has room for it
	close() error
}

// copying makes an endpoint of two wires, which may be one and the same. Its
// messages are made in, and received into, buffers of its own.
type copying struct {
	payload
	out wire
	in  wire
	buf []byte
}

func newCopying(s spec, out, in wire) *copying {
	return &copying{newPayload(s.Size), out, in, make([]byte, s.Size)}
}

func (c *copying) ping(rec *recorder, n int) error {
	rec.start()
	for i := range uint64(n) {
		if err := c.out.write(c.stamp(i)); err != nil {
			return err
		}
		if err := c.receive(i); err != nil {
			return err
		}
		rec.trip()
	}
	rec.stop()
	return nil
}

func (c *copying) echo(n int) error {
	for i := range uint64(n) {
		if err := c.receive(i); err != nil {
			return err
		}
		if err := c.out.write(c.stamp(i)); err != nil {
			return err
		}
	}
	return nil
}

func (c *copying) send(n int) error {
	for i := range uint64(n) {
		if err := c.out.write(c.stamp(i)); err != nil {
			return err
		}
	}
	return nil
}

func (c *copying) recv(n int) error {
	for i := range uint64(n) {
		if err := c.receive(i); err != nil {
			return err
		}
	}
	return nil
}

// receive takes message number i and reads every byte of it.
func (c *copying) receive(i uint64) error {
	n, err := c.in.read(c.buf)
	if err != nil {
		return err
	}
	if !c.good(c.buf[:n], i) {
		return c.wrong(c.buf[:n], i)
	}
	return nil
}

func (c *copying) close() error {
	err := c.out.close()
	if c.in != c.out {
		err = firstError(err, c.in.close())
	}
	return err
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
