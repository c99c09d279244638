// Command bench measures messages between processes, and what they share: sluice's
// pipe, queue, locks and values, and beside them what people use today, in the same
// run.
//
//	go run ./bench                                  the report, in two minutes
//	go run ./bench -quick                           a glance, in half a minute
//	go run ./bench -json -run rtt/pipe/spin/64      one object per line
//	go test -bench . ./bench                        the same, for benchstat
//
// # What is measured
//
// rtt: one process sends a message and waits for the answer, of the same size;
// one round trip counts as one message. throughput: one process sends as fast
// as it can, the other receives, each end in a process of its own. Times are
// those of a clock that both share: from before the first message is written
// until after the last one has been read.
//
// fanin: four producers send as fast as they can and four consumers receive, each
// in a process of its own (or -producers and -consumers, 1 to 8 each); every
// message goes to one consumer. The clock runs from when all have come to the start
// until the last consumer knows that there is nothing more. Each consumer checks the
// order of what it gets from each producer, and number and sum of all must be right.
// All share one queue, one pair of seqpacket sockets, or one os.Pipe.
//
// fanin-kill: the same, and every 100 ms one of them, by chance (-seed), is killed
// with SIGKILL and replaced. Producers note in shared memory what they begin and
// finish sending, consumers what they take: in the end every message that was sent
// must have come, and none twice that its consumer's death does not explain.
// queue-unharmed does that too, without the deaths, for comparison.
//
// Both ends touch every byte: the writer stamps each message with its number
// and copies its whole length, the reader checks the number and searches the
// rest for the mark that only its last byte bears. What copies (sockets,
// os.Pipe) sends from and receives into buffers of its own; what does not is
// written and read in place.
//
// ops: one process uses a lock or a value that nobody else uses, again and again:
// lock and unlock, load, add, and for records of 256 bytes load and update. Beside
// them stand the locks and atomics of Go, which know no other process.
//
// count: two processes, each on a CPU of its own and with GOMAXPROCS=2, add 1 to a
// number as often as they can for 150 ms: under a lock, or with Value.Add. The
// number must be right in the end. The shares are how the turns were divided, in
// percent, the lesser one first.
//
// # Waiting
//
//   - spin: both ends poll and never sleep. Sockets and pipes are polled with
//     non-blocking system calls.
//   - block: both ends sleep whenever there is nothing to do, as a socket does.
//     Sockets sleep in the netpoller, an inherited os.Pipe in the kernel,
//     which is how Go opens either.
//   - adaptive: sluice's default, a short spin before sleeping.
//
// With spin and block each of two processes has a CPU of its own, to which it is
// pinned, and GOMAXPROCS=1. The processes of a fan-in, of which there are more, run
// on both CPUs, and who polls yields the CPU after each time in vain. With adaptive, and for the channel (impl chan, two
// goroutines in one process: a bound, not a competitor), the processes may
// move between the two CPUs and have GOMAXPROCS=2, as an unsuspecting user's
// would. With one CPU only the blocking measurements run.
//
// # Others
//
// -twin PROGRAM runs a program in another language that does the same, and -python
// Python's multiprocessing.Queue and its Value with a lock, both within each
// repetition.
//
// # Floors
//
// bare passes messages of one size through polled slots in shared memory,
// without anything that makes that safe or general. memcpy copies 1 MiB from one
// private buffer to another, in one process. futex passes a bare word to and fro
// and sleeps for it: what a blocking round trip costs before anybody has written
// a line of code.
//
// # Placement
//
// A virtual machine's CPUs move: now they are two threads of one core, now
// they are on different chips, and every figure here depends on it. A canary
// before and after each measurement (two pinned processes; one writes lines
// that the other has just read) classifies where they are by bandwidth: A above
// 25 GB/s, probably a shared core; B above 4 GB/s, probably a shared cache; C
// farther. Only figures of one placement are compared. A repetition that began
// in one and ended in another bears both letters and enters no ratio; "-" means
// that nobody looked. What the letters mean physically is a guess, that they
// differ is measured.
//
// Repetitions interleave: each measurement once, then each once again. What is
// reported is the median over the repetitions of one placement, and beside it
// their range. A repetition that was to poll, and got less than 95 % of the CPUs'
// time, shared them with something else; it is left out where there are others.
package main
