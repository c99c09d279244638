package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestReportComparesWithinAPlacement(t *testing.T) {
	var out bytes.Buffer
	slept := rttSample("unix", "B", 40_000, 1000, time.Second)
	slept.Wait = waitBlock
	writeReport(&out, summarise([]sample{
		rttSample("unix", "B", 3000, 1000, time.Second),
		rttSample("pipe", "B", 200, 1000, time.Second),
		rttSample("pipe", "C", 600, 1000, time.Second), // nothing to compare with
		rttSample("pipe", "BC", 999, 1000, time.Second),
		slept,
	}))
	text := out.String()
	for _, want := range []string{"placement B", "placement C", "×15.0", "×200",
		"1 repetitions began in one placement"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "999 ns") || strings.Contains(text, "×5.00") {
		t.Errorf("figures of different placements meet:\n%s", text)
	}
}

func TestFormats(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{duration(7.5), "7.50 ns"}, {duration(210), "210 ns"}, {duration(43_300), "43.3 µs"},
		{duration(999.7), "1.00 µs"}, {duration(2.5e9), "2.50 s"},
		{count(640), "640"}, {count(12_345_678), "12.3 M"}, {count(4e10), "40.0 G"},
		{times(15), "×15.0"}, {times(0.789), "×0.79"}, {times(1234), "×1234"},
		{size(8), "8 B"}, {size(1 << 16), "64 KiB"}, {size(1 << 20), "1 MiB"}, {size(1500), "1500 B"},
		{optional(nil, duration), "-"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestTwinSamples(t *testing.T) {
	out := `R Cxx-proto W1 ring_rel_p1 p50 210.0 B 110 112 8.8 9.0
R Cxx-proto W1 ring_rel_p1 p99 290.0 B 110 112 8.8 9.0
R Cxx-proto W1 ring_rel_p1 p99.9 440.0 B 110 112 8.8 9.0
R Cxx-proto W1 ring_rel_p1 mean 223.0 B 110 112 8.8 9.0
something else
R Cxx-proto W2 ring_rel_p0/64 Mmsg/s 19.5000 BC 110 400 8.8 2.0
R Cxx-proto W2 ring_rel_p0/64 GB/s 1.2480 BC 110 400 8.8 2.0
R Cxx-proto W2 ring_rel_p0/8 FAIL 1 B 110 112 8.8 9.0
`
	got, _, err := twinSamples(strings.NewReader(out), 2)
	if err != nil || len(got) != 2 {
		t.Fatalf("got %v, %v", got, err)
	}
	rtt, rate := got[0], got[1]
	if rtt.spec != (spec{benchRTT, "twin-ring_rel_p1", waitSpin, 64, 1, 1}) ||
		*rtt.pass.trips != (quantiles{210, 290, 440}) || rtt.placement != "B" || rtt.rep != 2 {
		t.Errorf("round trip %+v", rtt)
	}
	if rate.spec != (spec{benchThroughput, "twin-ring_rel_p0", waitSpin, 64, 1, 1}) ||
		rate.msgs() != 19.5e6 || rate.placement != "BC" {
		t.Errorf("one way %+v", rate)
	}
	if _, _, err := twinSamples(strings.NewReader("nothing\n"), 0); err == nil {
		t.Error("no figures are no error")
	}
}
