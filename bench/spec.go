package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What can be measured, and how the two ends wait.
const (
	benchRTT        = "rtt"
	benchThroughput = "throughput"
	benchFanIn      = "fanin"
	benchFanInKill  = "fanin-kill" // and every 100 ms one of them dies
	benchOps        = "ops"        // of one process, on what nobody else uses
	benchCount      = "count"      // two processes take turns

	waitSpin     = "spin"     // poll, never sleep
	waitBlock    = "block"    // sleep, never poll
	waitAdaptive = "adaptive" // poll a little, then sleep: sluice's default
)

// Sizes in bytes, when -sizes does not say otherwise.
var (
	fullSizes  = []int{8, 64, 1 << 10, 64 << 10, 1 << 20}
	quickSizes = []int{64, 1 << 20}
)

// A spec is one thing to measure. It crosses to the children as JSON.
type spec struct {
	Bench     string `json:"bench"`
	Impl      string `json:"impl"`
	Wait      string `json:"wait"`
	Size      int    `json:"size"` // bytes of a message
	Producers int    `json:"producers"`
	Consumers int    `json:"consumers"`
}

// String is the form that -run selects by and -list prints.
func (s spec) String() string {
	name := fmt.Sprintf("%s/%s/%s/%d", s.Bench, s.Impl, s.Wait, s.Size)
	if s.fan() && s.crew() != usualCrew {
		name += "/" + s.crew().String()
	}
	return name
}

// fan reports whether there are many on each side.
func (s spec) fan() bool { return s.Bench == benchFanIn || s.Bench == benchFanInKill }

// crew is how many there are on each side.
func (s spec) crew() crew { return crew{s.Producers, s.Consumers} }

// A crew is the processes of a fan-in.
type crew struct{ producers, consumers int }

// String is the form of the report and of -run.
func (c crew) String() string { return fmt.Sprintf("%dx%d", c.producers, c.consumers) }

// usualCrew is measured unless the command line says otherwise.
var usualCrew = crew{4, 4}

// maxCrew is the most on each side.
const maxCrew = 8

// fanSizes are the sizes of fan-in, of those that are asked for.
var fanSizes = []int{64, 1 << 10}

// compare orders measurements for the report.
func (s spec) compare(t spec) int {
	waits := []string{waitSpin, waitBlock, waitAdaptive}
	return cmp.Or(
		cmp.Compare(s.Bench, t.Bench),
		cmp.Compare(s.Size, t.Size),
		cmp.Compare(s.Producers, t.Producers),
		cmp.Compare(s.Consumers, t.Consumers),
		cmp.Compare(slices.Index(waits, s.Wait), slices.Index(waits, t.Wait)),
		cmp.Compare(uint(implIndex(s.Impl)), uint(implIndex(t.Impl))), // unknown: last
		cmp.Compare(s.Impl, t.Impl))
}

// A menu is what may be measured.
type menu struct {
	sizes  []int
	crews  []crew
	python bool // which few have, and which takes long
	quick  bool
}

// catalog lists everything that the implementations can do at these sizes.
func catalog(sizes []int) []spec {
	return menu{sizes: sizes, crews: []crew{usualCrew}}.catalog()
}

// catalog is in the order of the report, so that what is to be compared is
// measured within the same second of each repetition.
func (m menu) catalog() []spec {
	var all []spec
	for _, im := range impls {
		if im.program && !m.python || im.aside() && m.quick {
			continue
		}
		for _, b := range im.benches {
			for _, w := range im.waits {
				for _, n := range im.sizesOf(m.sizes) {
					if b != benchFanIn || !m.quick || im.brief(w) {
						all = append(all, m.specs(b, im.name, w, n)...)
					}
				}
			}
		}
	}
	slices.SortFunc(all, spec.compare)
	return all
}

// brief reports whether this way to wait is among those that a glance at fan-in
// shows: who can sleep after a little polling does that, or polls, and the kernel's
// are used as they are mostly used.
func (im *impl) brief(wait string) bool {
	switch {
	case im.inProcess:
		return true
	case slices.Contains(im.waits, waitAdaptive):
		return wait != waitBlock
	}
	return wait == waitBlock
}

// aside reports whether a glance leaves it out: no goal is set for it.
func (im *impl) aside() bool {
	switch im {
	case rlockOps, syncRLockOps, semaphoreOps, recordLoadOps, recordUpdateOps:
		return true
	}
	return false
}

// specs are one, or for fan-in one for each crew.
func (m menu) specs(bench, impl, wait string, size int) (all []spec) {
	s := spec{bench, impl, wait, size, 1, 1}
	switch {
	case !s.fan():
		return []spec{s}
	case !slices.Contains(fanSizes, size):
		return nil
	case bench == benchFanInKill && (size != 64 || m.quick && wait != waitSpin):
		return nil // which take long
	}
	for _, c := range m.crews {
		s.Producers, s.Consumers = c.producers, c.consumers
		all = append(all, s)
	}
	return all
}

// selects compiles the argument of -run. It matches whole elements, anywhere
// in bench/impl/wait/size: "rtt/pipe" selects the pipe and not the os.Pipe,
// and "64" the size 64 alone.
func selects(expr string) (func(spec) bool, error) {
	if expr == "" {
		return func(spec) bool { return true }, nil
	}
	if _, err := regexp.Compile(expr); err != nil {
		return nil, fmt.Errorf("bench: -run: %w", err)
	}
	re, err := regexp.Compile(`(?:^|/)(?:` + expr + `)(?:/|$)`)
	if err != nil {
		return nil, fmt.Errorf("bench: -run: %w", err)
	}
	return func(s spec) bool { return re.MatchString(s.String()) }, nil
}

// parseCrew reads the argument of -producers or -consumers: "1,2,4".
func parseCrew(name, list string) ([]int, error) {
	var all []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 1 || n > maxCrew {
			return nil, fmt.Errorf("bench: -%s: %q is not a number from 1 to %d", name, field, maxCrew)
		}
		all = append(all, n)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// parseSizes reads the argument of -sizes: "64,1024,1048576".
func parseSizes(list string) ([]int, error) {
	var sizes []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < minSize || n > maxSize {
			return nil, fmt.Errorf("bench: -sizes: %q is not a size from %d to %d",
				field, minSize, maxSize)
		}
		sizes = append(sizes, n)
	}
	slices.Sort(sizes)
	return slices.Compact(sizes), nil
}

// parseCPUs reads the argument of -cpus: "0,1".
func parseCPUs(list string) ([]int, error) {
	var cpus []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < 0 {
			return nil, fmt.Errorf("bench: -cpus: %q is not a CPU", field)
		}
		cpus = append(cpus, n)
	}
	if len(cpus) != 2 || cpus[0] == cpus[1] {
		return nil, fmt.Errorf("bench: -cpus: want two different CPUs, got %q", list)
	}
	return cpus, nil
}
