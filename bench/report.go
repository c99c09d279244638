package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
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
	fan := table{head: []string{"fan-in", "wait", "impl", "from x to", "msg/s", "B/s", "CPU/msg",
		"allocs/msg", "n", "msg/s range", "killed", "vs chan", "vs unixpacket"}, left: 4}
	ops := newLockTables()
	for _, r := range rows {
		what := []string{size(r.Size), r.Wait, r.name()}
		cost := []string{optional(r.CPU, duration), fmt.Sprintf("%.2f", r.Allocs), r.reps()}
		rates := []string{count(r.Msgs), count(r.Bytes)}
		span := count(r.MsgsMin) + "…" + count(r.MsgsMax)
		switch {
		case r.Bench == benchRTT:
			rtt.add(what, []string{optional(r.P50, duration), optional(r.P99, duration),
				optional(r.P999, duration)}, cost,
				[]string{optional(r.P50Min, duration) + "…" + optional(r.P50Max, duration),
					versus(rows, r, unixImpl)})
		case ops.add(rows, r):
		case r.fan():
			fan.add(what, []string{r.crew().String()}, rates, cost,
				[]string{span, killed(r), versus(rows, r, chanImpl), versus(rows, r, unixpacketImpl)})
		default:
			rate.add(what, rates, cost, []string{span, versus(rows, r, unixImpl)})
		}
	}
	rtt.write(to)
	rate.write(to)
	fan.write(to)
	ops.write(to)
	writeRatios(to, rows)
}

// name is what the tables call the implementation.
func (r row) name() string {
	if r.InProcess {
		return r.Impl + " (in-process)"
	}
	return r.Impl
}

// killed is how many processes were, in all repetitions.
func killed(r row) string {
	if r.Bench != benchFanInKill {
		return ""
	}
	return strconv.Itoa(r.Kills)
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

// versus compares with another implementation that waits likewise. Sockets and
// channels have no adaptive way: there it is the one that sleeps, as it is when
// nothing else was measured.
func versus(rows []row, r row, im *impl) string {
	s := r.spec
	s.Impl = im.name
	if s.Bench == benchFanInKill {
		s.Bench = benchFanIn
	}
	if s.Wait == waitAdaptive {
		s.Wait = waitBlock
	}
	base, ok := find(rows, s)
	if !ok && r.fan() {
		s.Wait = waitBlock
		base, ok = find(rows, s)
	}
	if !ok {
		return ""
	}
	return times(better(r, base))
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
