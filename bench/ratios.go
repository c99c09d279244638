package main

import (
	"fmt"
	"io"
	"slices"
)

// A ratio is what one would quote, where both sides were measured.
type ratio struct {
	label  string
	a, b   spec
	longer bool // how many times longer a takes, not how many times better it is
	goal   string
}

// ratios are those of two processes.
var ratios = []ratio{
	trips("pipe spinning, against a Unix socket as it is used", "pipe", waitSpin, "unix", waitBlock),
	trips("pipe as it comes, against a Unix socket as it is used", "pipe", waitAdaptive, "unix", waitBlock),
	trips("both sleeping", "pipe", waitBlock, "unix", waitBlock),
	{label: "64 B round trip, pipe sleeping, against a bare futex",
		a: spec{benchRTT, "pipe", waitBlock, 64, 1, 1}, b: spec{benchRTT, "futex", waitBlock, 8, 1, 1}},
	oneWay(64, "pipe spinning, against a Unix socket as it is used", "pipe", waitSpin, "unix", waitBlock),
	oneWay(1<<20, "pipe spinning, against a Unix socket as it is used", "pipe", waitSpin, "unix", waitBlock),
	trips("pipe spinning, against bare slots", "pipe", waitSpin, "bare", waitSpin),
	oneWay(64, "pipe spinning, against bare slots", "pipe", waitSpin, "bare", waitSpin),
	oneWay(1<<20, "pipe spinning, against bare slots", "pipe", waitSpin, "bare", waitSpin),
	trips("pipe spinning, against the twin's ring_rel_p1", "pipe", waitSpin, "twin-ring_rel_p1", waitSpin),
	oneWay(64, "pipe spinning, against the twin's ring_rel_p0", "pipe", waitSpin, "twin-ring_rel_p0", waitSpin),
	oneWay(1<<20, "pipe spinning, against memcpy", "pipe", waitSpin, "memcpy", waitSpin),
	times64("queue against pipe: both spinning", waitSpin),
	times64("queue against pipe: both sleeping", waitBlock),
	times64("queue against pipe: both as they come", waitAdaptive),
	trips("queue as it comes, against a Unix socket as it is used", "queue", waitAdaptive, "unix", waitBlock),
	oneWay(64, "queue spinning, against the pipe", "queue", waitSpin, "pipe", waitSpin),
	oneWay(64, "queue in batches, spinning, against the pipe in batches", "queue-batch", waitSpin, "pipe-batch", waitSpin),
	oneWay(64, "queue spinning, against the twin's vy128_rel", "queue", waitSpin, "twin-vy128_rel", waitSpin),
	oneWay(64, "queue as it comes, against Python's", "queue", waitAdaptive, "python", waitBlock),
	undisturbed("Value.Load, against a load of an atomic.Int64", loadOps, atomicLoadOps, 1.5),
	undisturbed("Value.Add, against an add to an atomic.Int64", addOps, atomicAddOps, 1.5),
	undisturbed("lock.Mutex, against sync.Mutex", mutexOps, syncMutexOps, 3),
	counting("lock.Mutex around an increment", mutexCountImpl, "at least ×10"),
	counting("Value.Add", valueCountImpl, ""),
}

func trips(label, a, waitA, b, waitB string) ratio {
	return ratio{label: "64 B round trip, " + label,
		a: spec{benchRTT, a, waitA, 64, 1, 1}, b: spec{benchRTT, b, waitB, 64, 1, 1}}
}

// times64 says how many times longer the queue takes than the pipe.
func times64(label, wait string) ratio {
	r := trips(label, "queue", wait, "pipe", wait)
	r.label += ", times as long"
	r.longer = true
	return r
}

func oneWay(bytes int, label, a, waitA, b, waitB string) ratio {
	return ratio{label: size(bytes) + " one way, " + label,
		a: spec{benchThroughput, a, waitA, bytes, 1, 1}, b: spec{benchThroughput, b, waitB, bytes, 1, 1}}
}

// undisturbed says how many times longer an operation takes than its model.
func undisturbed(label string, a, b *impl, most float64) ratio {
	return ratio{label: label + ", times as long", longer: true,
		goal: "at most " + times(most),
		a:    spec{benchOps, a.name, waitSpin, a.only[0], 1, 1},
		b:    spec{benchOps, b.name, waitSpin, b.only[0], 1, 1}}
}

// counting compares with Python.
func counting(label string, a *impl, goal string) ratio {
	return ratio{label: "two processes count, " + label + ", against a locked multiprocessing.Value", goal: goal,
		a: spec{benchCount, a.name, waitAdaptive, 8, 1, 1},
		b: spec{benchCount, pythonCountImpl.name, waitBlock, 8, 1, 1}}
}

// fanRatios are those of one crew.
func fanRatios(c crew) (all []ratio) {
	add := func(label, bench, a, waitA, b, waitB string) {
		all = append(all, ratio{label: fmt.Sprintf("64 B from %s, %s", c, label),
			a: spec{bench, a, waitA, 64, c.producers, c.consumers},
			b: spec{bench, b, waitB, 64, c.producers, c.consumers}})
	}
	add("queue spinning, against the twin's vy128_rel", benchFanIn, "queue", waitSpin, "twin-vy128_rel", waitSpin)
	add("queue in batches, spinning, against the twin's vy128_rel", benchFanIn, "queue-batch", waitSpin, "twin-vy128_rel", waitSpin)
	add("queue as it comes, against a channel within a process", benchFanIn, "queue", waitAdaptive, "chan", waitBlock)
	add("queue as it comes, against unixpacket as it is used", benchFanIn, "queue", waitAdaptive, "unixpacket", waitBlock)
	add("queue as it comes, against os.Pipe as it is used", benchFanIn, "queue", waitAdaptive, "ospipe", waitBlock)
	add("queue as it comes, against Python's", benchFanIn, "queue", waitAdaptive, "python", waitBlock)
	for _, wait := range []string{waitSpin, waitBlock, waitAdaptive} {
		add("queue, "+wait+", one killed every 100 ms, against the same without", benchFanInKill,
			"queue", wait, "queue-unharmed", wait)
	}
	return all
}

// allRatios are those for which there may be rows.
func allRatios(rows []row) []ratio {
	all := slices.Clone(ratios)
	var seen []crew
	for _, r := range rows {
		if c := r.crew(); r.fan() && !slices.Contains(seen, c) {
			seen = append(seen, c)
			all = append(all, fanRatios(c)...)
		}
	}
	return all
}

func writeRatios(to io.Writer, rows []row) {
	any := false
	for _, q := range allRatios(rows) {
		a, okA := find(rows, q.a)
		b, okB := find(rows, q.b)
		if !okA || !okB {
			continue
		}
		x := better(a, b)
		if q.longer {
			x = better(b, a)
		}
		goal := ""
		if q.goal != "" {
			goal = " (goal: " + q.goal + ")"
		}
		fmt.Fprintf(to, "%10s%s %s%s\n", times(x), star(a.Starved || b.Starved), q.label, goal)
		any = true
	}
	if any {
		fmt.Fprintln(to)
	}
}
