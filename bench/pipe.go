package main

import (
	"context"
	"os"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// pipeImpl is two rings in one anonymous segment, one for each direction, with
// messages written and read in place.
var pipeImpl = &impl{
	name:    "pipe",
	benches: []string{benchRTT, benchThroughput},
	waits:   []string{waitSpin, waitBlock, waitAdaptive},
	share:   sharePipe,
	open: func(s spec, side int, files []*os.File) (endpoint, error) {
		return openPipe(s, side, files)
	},
}

// pipeBatchImpl publishes messages in batches and takes all that are there.
// Larger messages gain nothing from that.
var pipeBatchImpl = &impl{
	name:    "pipe-batch",
	benches: []string{benchThroughput},
	waits:   []string{waitSpin, waitBlock, waitAdaptive},
	max:     4 << 10,
	share:   sharePipe,
	open: func(s spec, side int, files []*os.File) (endpoint, error) {
		e, err := openPipe(s, side, files)
		return &pipeBatchEnd{e}, err
	},
}

// batchSize is how many messages a batch has, and how many the reader takes at
// most before it gives their room back.
const batchSize = 32

// ringSize is the default for small messages. For large ones it is more than
// the processor's private cache holds: a smaller ring would have each line
// fetched back from the reader before it can be overwritten.
func ringSize(message int) int {
	if message <= 4<<10 {
		return 1 << 20
	}
	return max(8<<20, 8*message)
}

func sharePipe(s spec) (*shared, error) {
	each, err := ring.RegionSize(ringSize(s.Size))
	if err != nil {
		return nil, err
	}
	seg, err := shm.Anonymous("bench", &shm.Options{
		Size: 2 * int64(each),
		Init: func(data []byte) error {
			return firstError(ring.Init(data[:each], nil), ring.Init(data[each:], nil))
		},
		Prefault: true,
	})
	if err != nil {
		return nil, err
	}
	sh := &shared{release: func() { seg.Close() }}
	for side := range sh.files {
		f, err := seg.File()
		if err != nil {
			sh.close()
			return nil, err
		}
		sh.files[side] = []*os.File{f}
	}
	return sh, nil
}

// pipeEnd writes to one ring and reads from the other.
type pipeEnd struct {
	payload
	seg   *shm.Segment
	rings [2]*ring.Ring // by the side that writes
	w     *ring.Writer
	r     *ring.Reader
}

var spins = map[string]ring.Spin{
	waitSpin:     ring.SpinAlways,
	waitBlock:    ring.SpinNever,
	waitAdaptive: ring.SpinAdaptive,
}

func openPipe(s spec, side int, files []*os.File) (_ *pipeEnd, err error) {
	e := &pipeEnd{payload: newPayload(s.Size)}
	opts := &ring.Options{Spin: spins[s.Wait]}
	e.seg, err = shm.FromFile(files[0], &shm.Options{
		Attach: func(seg *shm.Segment) (shm.Repairer, error) {
			data := seg.Data()
			for i := range e.rings {
				each := len(data) / 2
				r, err := ring.Over(seg, data[i*each:(i+1)*each], opts)
				if err != nil {
					return nil, err
				}
				e.rings[i] = r
			}
			return e, nil
		},
		Prefault: true,
	})
	if err != nil {
		return nil, err
	}
	if e.w, err = e.rings[side].Writer(); err == nil {
		e.r, err = e.rings[1-side].Reader()
	}
	if err != nil {
		return nil, firstError(err, e.seg.Close())
	}
	return e, nil
}

// Repair implements shm.Repairer.
func (e *pipeEnd) Repair(dead shm.ID) (clean bool) {
	first := e.rings[0].Repair(dead)
	return e.rings[1].Repair(dead) && first
}

func (e *pipeEnd) ping(rec *recorder, n int) error {
	ctx := context.Background()
	rec.start()
	for i := range uint64(n) {
		if err := e.put(ctx, i); err != nil {
			return err
		}
		if err := e.get(ctx, i); err != nil {
			return err
		}
		rec.trip()
	}
	rec.stop()
	return nil
}

func (e *pipeEnd) echo(n int) error {
	ctx := context.Background()
	for i := range uint64(n) {
		if err := e.get(ctx, i); err != nil {
			return err
		}
		if err := e.put(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (e *pipeEnd) send(n int) error {
	ctx := context.Background()
	for i := range uint64(n) {
		if err := e.put(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (e *pipeEnd) recv(n int) error {
	ctx := context.Background()
	for i := range uint64(n) {
		if err := e.get(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// put sends message number i.
func (e *pipeEnd) put(ctx context.Context, i uint64) error {
	b, err := e.w.Reserve(ctx, e.size)
	if err != nil {
		return err
	}
	e.fill(b, i)
	return e.w.Commit(e.size)
}

// get takes message number i and reads every byte of it.
func (e *pipeEnd) get(ctx context.Context, i uint64) error {
	b, err := e.r.Peek(ctx)
	if err != nil {
		return err
	}
	if !e.good(b, i) {
		return e.wrong(b, i)
	}
	return e.r.Release()
}

func (e *pipeEnd) close() error {
	return firstError(e.rings[0].Close(), e.rings[1].Close(), e.seg.Close())
}

// pipeBatchEnd sends and receives many at a time.
type pipeBatchEnd struct{ *pipeEnd }

func (e *pipeBatchEnd) send(n int) error {
	ctx := context.Background()
	for i := 0; i < n; i += batchSize {
		if err := e.putMany(ctx, uint64(i), uint64(min(i+batchSize, n))); err != nil {
			return err
		}
	}
	return nil
}

// putMany sends the messages from i to before end as one batch.
func (e *pipeBatchEnd) putMany(ctx context.Context, i, end uint64) error {
	batch, err := e.w.Batch(ctx)
	if err != nil {
		return err
	}
	for ; i < end; i++ {
		b, err := batch.Reserve(ctx, e.size)
		if err != nil {
			return err
		}
		e.fill(b, i)
		if err := batch.Stage(e.size); err != nil {
			return err
		}
	}
	return batch.Commit()
}

func (e *pipeBatchEnd) recv(n int) error {
	ctx := context.Background()
	for i := uint64(0); i < uint64(n); {
		b, err := e.r.Peek(ctx)
		for taken := 1; err == nil; taken++ {
			if !e.good(b, i) {
				return e.wrong(b, i)
			}
			i++
			if taken == batchSize {
				break
			}
			b, err = e.r.More()
		}
		if err != nil && err != ring.ErrEmpty {
			return err
		}
		if err := e.r.Release(); err != nil {
			return err
		}
	}
	return nil
}
