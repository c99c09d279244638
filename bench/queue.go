package main

import (
	"os"

	"github.com/sluice-ipc/sluice/ring"
	"github.com/sluice-ipc/sluice/shm"
)

// queueImpl is ring.Queue, one for each direction. Up to 1 KiB messages are
// plain values that are put and got; larger ones lie in chunks that are filled
// and read in place.
var queueImpl = &impl{
	name:    "queue",
	benches: []string{benchRTT, benchThroughput, benchFanIn, benchFanInKill},
	waits:   []string{waitSpin, waitBlock, waitAdaptive},
	share:   shareQueue,
	open: func(s spec, side int, files []*os.File) (endpoint, error) {
		return openQueue(s, side, 1)
	},
}

// queueUnharmedImpl is what a run with kills is to be compared with: the same,
// ledgers included, without.
var queueUnharmedImpl = &impl{
	name:     "queue-unharmed",
	benches:  []string{benchFanInKill},
	waits:    queueImpl.waits,
	unharmed: true,
	share:    queueImpl.share,
	open:     queueImpl.open,
}

// queueBatchImpl puts and gets many plain values at a time.
var queueBatchImpl = &impl{
	name:    "queue-batch",
	benches: []string{benchThroughput, benchFanIn},
	waits:   []string{waitSpin, waitBlock, waitAdaptive},
	max:     1 << 10,
	share:   shareQueue,
	open: func(s spec, side int, files []*os.File) (endpoint, error) {
		return openQueue(s, side, queueBatch)
	},
}

// queueBatch is how many messages a batch has.
const queueBatch = 16

// A queueMaker knows the type of the messages of one size.
type queueMaker struct {
	share func(label string, o *ring.QueueOptions) (shm.Handle, error)
	open  func(s spec, side, batch int) (endpoint, error)
}

// queueMakers are for plain messages, by their size.
var queueMakers = map[int]queueMaker{
	8:       plainMaker[[1]uint64](),
	64:      plainMaker[[8]uint64](),
	1 << 10: plainMaker[[128]uint64](),
}

func plainMaker[T any]() queueMaker {
	return queueMaker{share: shareQueueOf[T], open: openValues[T]}
}

func makerFor(size int) queueMaker {
	if m, ok := queueMakers[size]; ok {
		return m
	}
	return queueMaker{share: shareQueueOf[[]byte], open: openLoans}
}

// shareQueueOf makes one queue.
func shareQueueOf[T any](label string, o *ring.QueueOptions) (shm.Handle, error) {
	return ring.AnonymousQueue[T](label, o)
}

// fanDepth is how many small messages there is room for, the same in a channel and
// in the twin.
const fanDepth = 4096

// queueOptions are like those of the pipe, but for fewer messages.
func queueOptions(s spec) *ring.QueueOptions {
	o := &ring.QueueOptions{
		Capacity:  min(fanDepth, max(8, ringSize(s.Size)/s.Size)),
		ChunkSize: s.Size,
		Hold:      2,
		Lanes:     2,
		Spin:      spins[s.Wait],
		Segment:   shm.Options{Prefault: true, MaxParticipants: s.Producers + s.Consumers + 2},
	}
	if s.Bench == benchFanInKill {
		o.Segment.MaxParticipants *= 2 // the dead are buried in time, not at once
	}
	o.Bytes = o.Capacity * o.ChunkSize
	return o
}

// shareQueue makes a queue for each direction that there is.
func shareQueue(s spec) (*shared, error) {
	directions := 2
	if s.Bench != benchRTT {
		directions = 1
	}
	var queues []shm.Handle
	sh := &shared{release: func() {
		for _, q := range queues {
			q.(interface{ Close() error }).Close()
		}
	}}
	for range directions {
		q, err := makerFor(s.Size).share("bench", queueOptions(s))
		if err != nil {
			sh.close()
			return nil, err
		}
		queues = append(queues, q)
	}
	for side := range sh.handles {
		sh.handles[side] = queues
	}
	return sh, nil
}

func openQueue(s spec, side, batch int) (endpoint, error) {
	return makerFor(s.Size).open(s, side, batch)
}

// inheritQueues returns the queue to send through and the one to receive from.
// In one direction only, they are the same.
func inheritQueues[T any](s spec, side int) (out, in *ring.Queue[T], err error) {
	var queues [2]*ring.Queue[T]
	directions := 2
	if s.Bench != benchRTT {
		directions = 1
	}
	for i := range directions {
		if queues[i], err = ring.InheritedQueue[T](handleName(i), queueOptions(s)); err != nil {
			return nil, nil, err
		}
	}
	if directions == 1 {
		return queues[0], queues[0], nil
	}
	return queues[side], queues[1-side], nil
}
