package main

import "os"

// chanImpl is a Go channel between two goroutines of one process: what
// messages cost where nothing needs to be shared. Messages are slices; their
// bytes are written and read in place.
var chanImpl = &impl{
	name:      "chan",
	benches:   []string{benchRTT, benchThroughput, benchFanIn},
	waits:     []string{waitSpin, waitBlock},
	solo:      true,
	inProcess: true,
	open:      openChan,
}

// chanBytes bounds what lies in a channel, chanDepth how many messages.
const (
	chanBytes = 4 << 20
	chanDepth = 1024
)

// chanEnd is both ends.
type chanEnd struct {
	unable
	payload
	depth int
	bufs  [][]byte
	spin  bool
}

func openChan(s spec, side int, files []*os.File) (endpoint, error) {
	c := &chanEnd{
		payload: newPayload(s.Size),
		depth:   max(1, min(chanDepth, chanBytes/s.Size)),
		spin:    s.Wait == waitSpin,
	}
	// One more than can be in the channel and with the reader: when the writer
	// comes round to a buffer, the reader is done with it.
	for range c.depth + 2 {
		c.bufs = append(c.bufs, make([]byte, s.Size))
	}
	return c, nil
}

func (c *chanEnd) ping(rec *recorder, n int) error {
	there, back := make(chan []byte, 1), make(chan []byte, 1)
	done := make(chan error, 1)
	go func() { done <- c.answer(there, back, n) }()
	rec.start()
	for i := range uint64(n) {
		b := c.bufs[0]
		c.fill(b, i)
		c.put(there, b)
		if b = c.get(back); !c.good(b, i) {
			return c.wrong(b, i)
		}
		rec.trip()
	}
	rec.stop()
	return <-done
}

// answer is the other goroutine of ping. It answers in a buffer of its own,
// and a wrong message too, so that nobody waits for ever.
func (c *chanEnd) answer(there, back chan []byte, n int) error {
	var failed error
	for i := range uint64(n) {
		b := c.get(there)
		if !c.good(b, i) && failed == nil {
			failed = c.wrong(b, i)
		}
		b = c.bufs[1]
		c.fill(b, i)
		c.put(back, b)
	}
	return failed
}

func (c *chanEnd) send(n int) error {
	there := make(chan []byte, c.depth)
	done := make(chan error, 1)
	go func() { done <- c.drain(there, n) }()
	at := 0
	for i := range uint64(n) {
		b := c.bufs[at]
		if at++; at == len(c.bufs) {
			at = 0
		}
		c.fill(b, i)
		c.put(there, b)
	}
	return <-done
}

// drain is the other goroutine of send. It takes all n, whatever they are.
func (c *chanEnd) drain(there chan []byte, n int) error {
	var failed error
	for i := range uint64(n) {
		if b := c.get(there); !c.good(b, i) && failed == nil {
			failed = c.wrong(b, i)
		}
	}
	return failed
}

func (c *chanEnd) put(to chan<- []byte, b []byte) {
	if !c.spin {
		to <- b
		return
	}
	for {
		select {
		case to <- b:
			return
		default:
		}
	}
}

func (c *chanEnd) get(from <-chan []byte) []byte {
	if !c.spin {
		return <-from
	}
	for {
		select {
		case b := <-from:
			return b
		default:
		}
	}
}
