package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// writeJSON prints one object per row.
func writeJSON(to io.Writer, rows []row) error {
	out := json.NewEncoder(to)
	for _, r := range rows {
		if err := out.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// writeReport prints the tables, one pair for each placement, and the ratios.
func writeReport(to io.Writer, rows []row) {
	moved := 0
	for _, p := range placements(rows) {
		if p != noPlacement && !pure(p) {
			for _, r := range in(rows, p) {
				moved += r.N
			}
			continue
		}
		writePlacement(to, p, in(rows, p))
	}
	starved := 0
	for _, r := range rows {
		starved += r.starved
	}
	if starved > 0 {
		fmt.Fprintf(to, "%d repetitions did not have their CPUs to themselves, because something "+
			"else was running; they count only where there is no better (*).\n", starved)
	}
	if moved > 0 {
		fmt.Fprintf(to, "%d repetitions began in one placement and ended in another; "+
			"they are left out here (-json has them).\n", moved)
	}
}

func writePlacement(to io.Writer, p string, rows []row) {
	title := "placement " + p
	if line := median(canaries(rows)); line != nil {
		title += fmt.Sprintf(" (one cache line to the other CPU and back: %s)", duration(*line))
	}
	fmt.Fprintf(to, "%s\n\n", title)
	rtt := table{head: []string{"round trip", "wait", "impl", "p50", "p99", "p99.9",
		"CPU/msg", "allocs/msg", "n", "p50 range", "vs unix"}, left: 3}
	rate := table{head: []string{"one way", "wait", "impl", "msg/s", "B/s",
		"CPU/msg", "allocs/msg", "n", "msg/s range", "vs unix"}, left: 3}
	for _, r := range rows {
		name := r.Impl
		if r.InProcess {
			name += " (in-process)"
		}
		what := []string{size(r.Size), r.Wait, name}
		cost := []string{optional(r.CPU, duration), fmt.Sprintf("%.2f", r.Allocs), r.reps()}
		if r.Bench == benchRTT {
			rtt.add(what, []string{optional(r.P50, duration), optional(r.P99, duration),
				optional(r.P999, duration)}, cost,
				[]string{optional(r.P50Min, duration) + "…" + optional(r.P50Max, duration), vsUnix(rows, r)})
		} else {
			rate.add(what, []string{count(r.Msgs), count(r.Bytes)}, cost,
				[]string{count(r.MsgsMin) + "…" + count(r.MsgsMax), vsUnix(rows, r)})
		}
	}
	rtt.write(to)
	rate.write(to)
	writeRatios(to, rows)
}

// reps is how many repetitions the row is of, with a star for bad ones.
func (r row) reps() string { return fmt.Sprintf("%d%s", r.N, star(r.Starved)) }

// star marks what a busy machine has spoilt.
func star(spoilt bool) string {
	if spoilt {
		return "*"
	}
	return " "
}

// placements lists those that occur, the one with most repetitions first.
func placements(rows []row) []string {
	reps := map[string]int{}
	var names []string
	for _, r := range rows {
		if reps[r.Placement] == 0 {
			names = append(names, r.Placement)
		}
		reps[r.Placement] += r.N
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(reps[b], reps[a]) })
	return names
}

func in(rows []row, placement string) []row {
	return slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return r.Placement != placement })
}

func canaries(rows []row) (ns []float64) {
	for _, r := range rows {
		if r.Canary != nil {
			ns = append(ns, *r.Canary)
		}
	}
	return ns
}

// better returns how many times better a is than b: faster in round trips,
// or more in messages.
func better(a, b row) float64 {
	if a.Bench == benchRTT {
		if a.P50 == nil || b.P50 == nil {
			return 0
		}
		return *b.P50 / *a.P50
	}
	return a.Msgs / b.Msgs
}

func find(rows []row, s spec) (row, bool) {
	i := slices.IndexFunc(rows, func(r row) bool { return r.spec == s })
	if i < 0 {
		return row{}, false
	}
	return rows[i], true
}

// vsUnix compares with the Unix stream socket that waits likewise. A socket
// has no adaptive way: there it is the one that sleeps.
func vsUnix(rows []row, r row) string {
	s := r.spec
	s.Impl = unixImpl.name
	if s.Wait == waitAdaptive {
		s.Wait = waitBlock
	}
	base, ok := find(rows, s)
	if !ok {
		return ""
	}
	return times(better(r, base))
}

// ratios are what one would quote, where both sides were measured.
var ratios = []struct {
	label string
	a, b  spec
}{
	{"64 B round trip, pipe spinning, against a Unix socket as it is used",
		spec{benchRTT, "pipe", waitSpin, 64, 1, 1}, spec{benchRTT, "unix", waitBlock, 64, 1, 1}},
	{"64 B round trip, pipe as it comes, against a Unix socket as it is used",
		spec{benchRTT, "pipe", waitAdaptive, 64, 1, 1}, spec{benchRTT, "unix", waitBlock, 64, 1, 1}},
	{"64 B round trip, both sleeping",
		spec{benchRTT, "pipe", waitBlock, 64, 1, 1}, spec{benchRTT, "unix", waitBlock, 64, 1, 1}},
	{"64 B round trip, pipe sleeping, against a bare futex",
		spec{benchRTT, "pipe", waitBlock, 64, 1, 1}, spec{benchRTT, "futex", waitBlock, 8, 1, 1}},
	{"64 B one way, pipe spinning, against a Unix socket as it is used",
		spec{benchThroughput, "pipe", waitSpin, 64, 1, 1}, spec{benchThroughput, "unix", waitBlock, 64, 1, 1}},
	{"1 MiB one way, pipe spinning, against a Unix socket as it is used",
		spec{benchThroughput, "pipe", waitSpin, 1 << 20, 1, 1}, spec{benchThroughput, "unix", waitBlock, 1 << 20, 1, 1}},
	{"64 B round trip, pipe spinning, against bare slots",
		spec{benchRTT, "pipe", waitSpin, 64, 1, 1}, spec{benchRTT, "bare", waitSpin, 64, 1, 1}},
	{"64 B one way, pipe spinning, against bare slots",
		spec{benchThroughput, "pipe", waitSpin, 64, 1, 1}, spec{benchThroughput, "bare", waitSpin, 64, 1, 1}},
	{"1 MiB one way, pipe spinning, against bare slots",
		spec{benchThroughput, "pipe", waitSpin, 1 << 20, 1, 1}, spec{benchThroughput, "bare", waitSpin, 1 << 20, 1, 1}},
	{"64 B round trip, pipe spinning, against the twin's ring_rel_p1",
		spec{benchRTT, "pipe", waitSpin, 64, 1, 1}, spec{benchRTT, "twin-ring_rel_p1", waitSpin, 64, 1, 1}},
	{"64 B one way, pipe spinning, against the twin's ring_rel_p0",
		spec{benchThroughput, "pipe", waitSpin, 64, 1, 1}, spec{benchThroughput, "twin-ring_rel_p0", waitSpin, 64, 1, 1}},
	{"1 MiB one way, pipe spinning, against memcpy",
		spec{benchThroughput, "pipe", waitSpin, 1 << 20, 1, 1}, spec{benchThroughput, "memcpy", waitSpin, 1 << 20, 1, 1}},
}

func writeRatios(to io.Writer, rows []row) {
	any := false
	for _, q := range ratios {
		a, okA := find(rows, q.a)
		b, okB := find(rows, q.b)
		if okA && okB {
			fmt.Fprintf(to, "%10s%s %s\n", times(better(a, b)), star(a.Starved || b.Starved), q.label)
			any = true
		}
	}
	if any {
		fmt.Fprintln(to)
	}
}

// A table has a heading and aligns its first columns left, the others right.
type table struct {
	head []string
	left int
	rows [][]string
}

func (t *table) add(parts ...[]string) { t.rows = append(t.rows, slices.Concat(parts...)) }

func (t *table) write(to io.Writer) {
	if len(t.rows) == 0 {
		return
	}
	all := append([][]string{t.head}, t.rows...)
	width := make([]int, len(t.head))
	for _, r := range all {
		for i, cell := range r {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	for _, r := range all {
		var line strings.Builder
		for i, cell := range r {
			pad := strings.Repeat(" ", width[i]-len([]rune(cell)))
			if i < t.left {
				line.WriteString(cell + pad + "  ")
			} else {
				line.WriteString(pad + cell + "  ")
			}
		}
		fmt.Fprintln(to, strings.TrimRight(line.String(), " "))
	}
	fmt.Fprintln(to)
}
