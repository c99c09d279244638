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
	return fmt.Sprintf("%s/%s/%s/%d", s.Bench, s.Impl, s.Wait, s.Size)
}

// compare orders measurements for the report.
func (s spec) compare(t spec) int {
	waits := []string{waitSpin, waitBlock, waitAdaptive}
	return cmp.Or(
		cmp.Compare(s.Bench, t.Bench),
		cmp.Compare(s.Size, t.Size),
		cmp.Compare(slices.Index(waits, s.Wait), slices.Index(waits, t.Wait)),
		cmp.Compare(uint(implIndex(s.Impl)), uint(implIndex(t.Impl))), // unknown: last
		cmp.Compare(s.Impl, t.Impl))
}

// catalog lists everything that the implementations can do at these sizes.
// It is in the order of the report, so that what is to be compared is measured
// within the same second of each repetition.
func catalog(sizes []int) []spec {
	var all []spec
	for _, im := range impls {
		for _, b := range im.benches {
			for _, w := range im.waits {
				for _, n := range im.sizesOf(sizes) {
					all = append(all, spec{b, im.name, w, n, 1, 1})
				}
			}
		}
	}
	slices.SortFunc(all, spec.compare)
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
