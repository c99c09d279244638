package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A twin is a program that does the same work in another language and prints
// what it measured in lines such as
//
//	R Cxx-proto W1 ring_rel_p1 p50 210.0 B …
//	R Cxx-proto W2 ring_rel_p0/64 Mmsg/s 19.5 B …
//	R Cxx-proto W3 vy128_rel Mmsg/s 4.5 B …
//
// W1 is a round trip of 64 bytes (p50, p99, p99.9 and mean in nanoseconds), W2
// one way (variant/size), W3 fan-in of 64 bytes from four producers to four
// consumers (variant, or variant/PxC), and the letter is the placement, by a
// canary with the same bounds as ours. It is run once in each repetition, as
// PROGRAM 1, PROGRAM 2 and PROGRAM 3, as far as something of that kind is
// measured, with REPS=1, so that its figures are as interleaved as the others. One
// that repeats itself all the same is left when it does. Other lines are not for
// us.
type twin struct {
	program string
	works   []string
}

// newTwin returns one that does what is to be compared with these.
func newTwin(program string, specs []spec) twin {
	t := twin{program: program}
	for i, bench := range []string{benchRTT, benchThroughput, benchFanIn} {
		if slices.ContainsFunc(specs, func(s spec) bool { return s.Bench == bench }) {
			t.works = append(t.works, strconv.Itoa(i+1))
		}
	}
	return t
}

// twinPatience is how long one run of a twin may take.
const twinPatience = 5 * time.Minute

// run is one repetition.
func (t twin) run(rep int) ([]sample, error) {
	var all []sample
	for _, work := range t.works {
		samples, err := t.work(work, rep)
		if err != nil {
			return nil, fmt.Errorf("bench: %s %s: %w", t.program, work, err)
		}
		all = append(all, samples...)
	}
	return all, nil
}

// work runs the program once. Closing its output ends one that has more to say,
// when it says that, and no process of its own is left behind.
func (t twin) work(work string, rep int) ([]sample, error) {
	ctx, cancel := context.WithTimeout(context.Background(), twinPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.program, work)
	cmd.Env = append(os.Environ(), "REPS=1")
	cmd.Stderr = &tail{}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	samples, repeats, err := twinSamples(out, rep)
	out.Close()
	if ended := cmd.Wait(); ended != nil && !repeats {
		return nil, fmt.Errorf("%w%s", ended, cmd.Stderr)
	}
	return samples, err
}

// twinSamples reads what a twin prints, until it ends or repeats itself.
func twinSamples(out io.Reader, rep int) (all []sample, repeats bool, err error) {
	found := map[spec]*sample{}
	said := map[string]bool{}
	var order []spec
	for in := bufio.NewScanner(out); in.Scan() && !repeats; {
		f := strings.Fields(in.Text())
		if len(f) < 7 || f[0] != "R" {
			continue
		}
		s, ok := twinSpec(f[2], f[3])
		v, err := strconv.ParseFloat(f[5], 64)
		if !ok || err != nil {
			continue
		}
		what := strings.Join(f[2:5], " ")
		if repeats = said[what]; repeats {
			break
		}
		said[what] = true
		if found[s] == nil {
			found[s] = &sample{spec: s, rep: rep, placement: f[6]}
			order = append(order, s)
		}
		found[s].note(f[4], v)
	}
	for _, s := range order {
		if found[s].pass.n > 0 {
			all = append(all, *found[s])
		}
	}
	if all == nil {
		return nil, repeats, errors.New("no figures in what it printed")
	}
	return all, repeats, nil
}

// twinSpec says what a line of a workload measured.
func twinSpec(workload, variant string) (spec, bool) {
	switch workload {
	case "W1":
		return spec{benchRTT, "twin-" + variant, waitSpin, 64, 1, 1}, true
	case "W2":
		name, bytes, _ := strings.Cut(variant, "/")
		n, err := strconv.Atoi(bytes)
		return spec{benchThroughput, "twin-" + name, waitSpin, n, 1, 1}, err == nil
	case "W3":
		name, members, given := strings.Cut(variant, "/")
		c := usualCrew
		if given {
			if n, err := fmt.Sscanf(members, "%dx%d", &c.producers, &c.consumers); n != 2 || err != nil {
				return spec{}, false
			}
		}
		return spec{benchFanIn, "twin-" + name, waitSpin, 64, c.producers, c.consumers}, true
	}
	return spec{}, false
}

// note adds one figure.
func (s *sample) note(what string, v float64) {
	if s.Bench == benchRTT && s.pass.trips == nil {
		s.pass.trips = &quantiles{}
	}
	switch what {
	case "p50":
		s.pass.trips.P50 = v
	case "p99":
		s.pass.trips.P99 = v
	case "p99.9":
		s.pass.trips.P999 = v
	case "mean":
		s.pass.n, s.pass.elapsed = 1e6, time.Duration(v*1e6)
	case "Mmsg/s":
		s.pass.n, s.pass.elapsed = int(v*1e6), time.Second
	}
}
