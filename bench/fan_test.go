package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// everyFan is all that can fan in, sleeping.
func everyFan(c crew) (all []spec) {
	m := menu{sizes: []int{64}, crews: []crew{c}}
	for _, s := range m.catalog() {
		if s.fan() && s.Wait == waitBlock {
			all = append(all, s)
		}
	}
	return all
}

func TestFanInOfUnevenCrews(t *testing.T) {
	for _, c := range []crew{{1, 1}, {1, 3}, {3, 1}, {maxCrew, maxCrew}} {
		if testing.Short() && c.producers == maxCrew {
			continue
		}
		for _, s := range everyFan(c) {
			t.Run(s.String(), func(t *testing.T) {
				g := anyGroup(t, s)
				for _, n := range []int{1, 100, 5000} { // again and again with the same processes
					got, err := g.run(n, 0)
					if err != nil {
						t.Fatal(err)
					}
					if each := (n + c.producers - 1) / c.producers; got.n != each*c.producers {
						t.Errorf("%d messages, want %d from each", got.n, each)
					}
				}
			})
		}
	}
}

func TestDeathInAFanInIsAnErrorAtOnce(t *testing.T) {
	for _, name := range []string{"queue", "unixpacket"} {
		for i, whose := range []string{"a producer's", "a consumer's"} {
			t.Run(name+"/"+whose, func(t *testing.T) {
				g := anyGroup(t, spec{benchFanIn, name, waitBlock, 64, 2, 2})
				ended := make(chan error, 1)
				go func() {
					_, err := g.run(1<<40, 0)
					ended <- err
				}()
				if err := g.procs[1+2*i].cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				err := within(t, ended)
				if err == nil || errors.Is(err, errSilent) {
					t.Errorf("got %v, want the death", err)
				}
			})
		}
	}
}

func TestTallyKnowsWhatCanBeNext(t *testing.T) {
	var got tally
	for _, tt := range []struct {
		w    uint64
		want bool
	}{
		{numberOf(0, 1), true},
		{numberOf(1, 1), true},
		{numberOf(0, 3), true}, // another consumer has the second
		{numberOf(0, 3), false},
		{numberOf(0, 2), false},
		{numberOf(1, 2), true},
		{numberOf(maxCrew, 1), false},
		{farewell, false},
	} {
		if ok := got.note(tt.w); ok != tt.want {
			t.Errorf("%x: %v, want %v", tt.w, ok, tt.want)
		}
	}
	if got.count != 4 || got.sum != numberOf(1, 7)+numberOf(1, 0) {
		t.Errorf("%d with sum %x", got.count, got.sum)
	}
}

func TestCheckFindsWhatIsMissing(t *testing.T) {
	full := func() (all tally) {
		for who := range 3 {
			for i := 1; i <= 5; i++ {
				all.note(numberOf(who, i))
			}
		}
		return all
	}
	all := full()
	if err := all.check(3, 5); err != nil {
		t.Error(err)
	}
	lost := full()
	lost.count--
	lost.sum -= numberOf(2, 4)
	swapped := full() // one lost and another doubled
	swapped.sum += numberOf(1, 4) - numberOf(1, 3)
	for name, bad := range map[string]tally{"lost": lost, "swapped": swapped} {
		if err := bad.check(3, 5); !errors.Is(err, errLost) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPayloadRefusesDisorderAndDamage(t *testing.T) {
	p := newPayload(64)
	var got tally
	w := numberOf(1, 2)
	b := p.stamp(w)
	if err := p.accept(&got, b, w); err != nil {
		t.Error(err)
	}
	if err := p.accept(&got, b, w); err == nil || !strings.Contains(err.Error(), "message 2 of producer 1") {
		t.Errorf("the same again: %v", err)
	}
	w = numberOf(1, 3)
	b = p.stamp(w)
	b[20] = mark
	if err := p.accept(&got, b, w); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged one: %v", err)
	}
}

func TestDeathsAreSurvivedAndCounted(t *testing.T) {
	for _, wait := range []string{waitBlock, waitAdaptive} {
		t.Run(wait, func(t *testing.T) {
			g := anyGroup(t, spec{benchFanInKill, "queue", wait, 64, 3, 3})
			kills := 0
			for n := 1000; kills < 3; n = min(2*n, killBits) { // until it takes long enough
				got, err := g.run(n, 0)
				if err != nil {
					t.Fatal(err)
				}
				if got.n < n-got.kills || got.n > n+3 {
					t.Fatalf("%d messages of %d, %d kills", got.n, n, got.kills)
				}
				kills += got.kills
			}
		})
	}
}

func TestUnharmedMeansNobodyIsKilled(t *testing.T) {
	g := anyGroup(t, spec{benchFanInKill, "queue-unharmed", waitBlock, 64, 2, 2})
	for n := 1000; ; n = min(2*n, killBits) {
		got, err := g.run(n, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got.kills != 0 || got.n < n {
			t.Fatalf("%d kills, %d of %d messages", got.kills, got.n, n)
		}
		if got.elapsed > 2*killPeriod || n == killBits {
			return
		}
	}
}

func TestPythonCountsWhatItPasses(t *testing.T) {
	for _, s := range []spec{{benchThroughput, "python", waitBlock, 64, 1, 1}, {benchFanIn, "python", waitBlock, 64, 2, 3}} {
		t.Run(s.Bench, func(t *testing.T) {
			g := anyGroup(t, s)
			for range 2 {
				got, err := g.run(600, 0)
				if err != nil {
					t.Fatal(err)
				}
				if got.n != 600 || got.elapsed <= 0 || got.elapsed > patience || got.cpu != 0 {
					t.Errorf("%+v", got)
				}
			}
		})
	}
}

func TestTwinIsLeftWhenItRepeatsItself(t *testing.T) {
	program := script(t, `while :; do echo "R Cxx W3 vy128_rel Mmsg/s 4.5 B 1 1 1 1"; done`)
	specs := []spec{{benchFanIn, "queue", waitSpin, 64, 4, 4}}
	ended := make(chan error, 1)
	var got []sample
	go func() {
		var err error
		got, err = newTwin(program, specs).run(0)
		ended <- err
	}()
	if err := within(t, ended); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].spec != (spec{benchFanIn, "twin-vy128_rel", waitSpin, 64, 4, 4}) ||
		got[0].msgs() != 4.5e6 {
		t.Errorf("got %+v", got)
	}
}

func TestTwinThatFailsIsAnError(t *testing.T) {
	program := script(t, `echo "R Cxx W3 vy128_rel/2x1 Mmsg/s 4.5 B 1 1 1 1"; echo alas >&2; exit 1`)
	_, err := newTwin(program, []spec{{Bench: benchFanIn}}).run(0)
	if err == nil || !strings.Contains(err.Error(), "alas") {
		t.Errorf("got %v", err)
	}
}

func TestTwinDoesOnlyWhatIsCompared(t *testing.T) {
	for want, specs := range map[string][]spec{
		"1": {{Bench: benchRTT}}, "2,3": {{Bench: benchFanIn}, {Bench: benchThroughput}}, "": {{Bench: benchFanInKill}},
	} {
		if got := strings.Join(newTwin("x", specs).works, ","); got != want {
			t.Errorf("%v: %q, want %q", specs, got, want)
		}
	}
}

func TestReportShowsFanIn(t *testing.T) {
	rate := func(bench, impl, wait string, msgs int) sample {
		return sample{spec: spec{bench, impl, wait, 64, 4, 4}, placement: "B",
			pass: pass{n: msgs, elapsed: time.Second, kills: msgs % 10}}
	}
	var out strings.Builder
	pipe, queue := rttSample("pipe", "B", 200, 1000, time.Second), rttSample("queue", "B", 300, 1000, time.Second)
	writeReport(&out, summarise([]sample{
		pipe, queue,
		rate(benchFanIn, "queue", waitSpin, 6_000_000),
		rate(benchFanIn, "chan", waitSpin, 2_000_000),
		rate(benchFanIn, "unixpacket", waitSpin, 100_000),
		rate(benchFanIn, "twin-vy128_rel", waitSpin, 5_000_000),
		rate(benchFanInKill, "queue", waitSpin, 3_000_007),
		rate(benchFanInKill, "queue-unharmed", waitSpin, 4_000_000),
	}))
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"spin queue 4x4 6.00 M", "×3.00 ×60.0", "chan (in-process)", " 7 ×1.50 ×30.0",
		"×1.50 64 B round trip, queue against pipe: both spinning",
		"×1.20 64 B from 4x4, queue spinning, against the twin's vy128_rel",
		"×0.75 64 B from 4x4, queue, spin, one killed every 100 ms, against the same without"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

func TestCrewsOfTheCommandLine(t *testing.T) {
	o, err := parse(strings.Fields("-producers 1,8 -consumers 2"), &strings.Builder{})
	if err != nil || len(o.crews) != 2 || o.crews[1] != (crew{8, 2}) {
		t.Fatalf("%v, %v", o, err)
	}
	r, err := o.plan(&strings.Builder{})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, s := range r.specs {
		found = found || s.String() == "fanin/queue/block/64/8x2"
		if s.fan() && s.Consumers != 2 {
			t.Errorf("%v of %d consumers", s, s.Consumers)
		}
	}
	if !found {
		t.Error("8x2 is missing")
	}
}
