package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A twin is a program that does the same work in another language and prints
// what it measured in lines such as
//
//	R Cxx-proto W1 ring_rel_p1 p50 210.0 B …
//	R Cxx-proto W2 ring_rel_p0/64 Mmsg/s 19.5 B …
//
// W1 is a round trip of 64 bytes (p50, p99, p99.9 and mean in nanoseconds), W2
// one way (variant/size), and the letter is the placement, by a canary with the
// same bounds as ours. It is run once in each repetition, as PROGRAM 1 and
// PROGRAM 2, with REPS=1, so that its figures are as interleaved as the others.
// Other lines are not for us.
type twin struct{ program string }

// twinPatience is how long one run of a twin may take.
const twinPatience = 5 * time.Minute

// run is one repetition.
func (t twin) run(rep int) ([]sample, error) {
	var all []sample
	for _, work := range []string{"1", "2"} {
		ctx, cancel := context.WithTimeout(context.Background(), twinPatience)
		defer cancel()
		cmd := exec.CommandContext(ctx, t.program, work)
		cmd.Env = append(os.Environ(), "REPS=1")
		cmd.Stderr = &tail{}
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("bench: %s %s: %w%s", t.program, work, err, cmd.Stderr)
		}
		samples, err := twinSamples(out, rep)
		if err != nil {
			return nil, fmt.Errorf("bench: %s %s: %w", t.program, work, err)
		}
		all = append(all, samples...)
	}
	return all, nil
}

// twinSamples reads what a twin printed.
func twinSamples(out []byte, rep int) ([]sample, error) {
	found := map[spec]*sample{}
	var order []spec
	for in := bufio.NewScanner(bytes.NewReader(out)); in.Scan(); {
		f := strings.Fields(in.Text())
		if len(f) < 7 || f[0] != "R" {
			continue
		}
		s, ok := twinSpec(f[2], f[3])
		v, err := strconv.ParseFloat(f[5], 64)
		if !ok || err != nil {
			continue
		}
		if found[s] == nil {
			found[s] = &sample{spec: s, rep: rep, placement: f[6]}
			order = append(order, s)
		}
		found[s].note(f[4], v)
	}
	var all []sample
	for _, s := range order {
		if found[s].pass.n > 0 {
			all = append(all, *found[s])
		}
	}
	if all == nil {
		return nil, errors.New("no figures in what it printed")
	}
	return all, nil
}

// twinSpec says what a line of workload W1 or W2 measured.
func twinSpec(workload, variant string) (spec, bool) {
	switch workload {
	case "W1":
		return spec{benchRTT, "twin-" + variant, waitSpin, 64, 1, 1}, true
	case "W2":
		name, bytes, _ := strings.Cut(variant, "/")
		n, err := strconv.Atoi(bytes)
		return spec{benchThroughput, "twin-" + name, waitSpin, n, 1, 1}, err == nil
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
