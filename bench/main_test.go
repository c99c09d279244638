package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fields are what design section 13 promises, and what came with them.
var fields = strings.Fields(`bench impl wait size producers consumers
	p50_ns p99_ns p999_ns msgs_per_s bytes_per_s cpu_ns_per_msg allocs_per_msg placement
	n p50_ns_min p50_ns_max msgs_per_s_min msgs_per_s_max canary_ns in_process starved kills share`)

func TestJSONHasExactlyTheFields(t *testing.T) {
	var out bytes.Buffer
	rows := summarise([]sample{rttSample("unix", "B", 3000, 1000, time.Second)})
	if err := writeJSON(&out, rows); err != nil {
		t.Fatal(err)
	}
	got := objects(t, &out)
	if len(got) != 1 {
		t.Fatalf("%d objects, want 1", len(got))
	}
	for _, name := range fields {
		if _, ok := got[0][name]; !ok {
			t.Errorf("%s is missing", name)
		}
		delete(got[0], name)
	}
	for name := range got[0] {
		t.Errorf("%s is new", name)
	}
}

// objects reads one object per line and nothing else.
func objects(t *testing.T, from *bytes.Buffer) (all []map[string]any) {
	t.Helper()
	for in := bufio.NewScanner(from); in.Scan(); {
		var o map[string]any
		if err := json.Unmarshal(in.Bytes(), &o); err != nil {
			t.Fatalf("line %q: %v", in.Bytes(), err)
		}
		all = append(all, o)
	}
	return all
}

func TestMeasuresAndPrintsJSON(t *testing.T) {
	var out, errs bytes.Buffer
	code := command(strings.Fields("-quick -json -reps 2 -time 10ms -run rtt/unix/block/64"), &out, &errs)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	n := 0
	for _, o := range objects(t, &out) {
		if o["bench"] != "rtt" || o["impl"] != "unix" || o["wait"] != "block" || o["size"] != 64.0 {
			t.Errorf("a row of something else: %v", o)
		}
		p50, p999 := o["p50_ns"].(float64), o["p999_ns"].(float64)
		if p50 <= 0 || p999 < p50 || o["msgs_per_s"].(float64) <= 0 {
			t.Errorf("figures that cannot be: %v", o)
		}
		n += int(o["n"].(float64))
	}
	if n != 2 {
		t.Errorf("%d repetitions, want 2", n)
	}
}

// TestMeasuresEverything does each measurement once, as briefly as possible,
// and with -short only those that leave the CPUs to others.
func TestMeasuresEverything(t *testing.T) {
	svg := filepath.Join(t.TempDir(), "plots.svg")
	args := "-reps 1 -time 1ms -sizes 1024 -svg " + svg
	if testing.Short() {
		args += " -run block"
	}
	var out, errs bytes.Buffer
	o, err := parse(strings.Fields(args), &errs)
	if err != nil {
		t.Fatal(err)
	}
	r, err := o.plan(&errs)
	if err != nil {
		t.Fatal(err)
	}
	r.run()
	for _, err := range r.failed {
		t.Error(err)
	}
	rows := summarise(r.samples)
	for _, s := range r.specs {
		why := r.lacking[s]
		if _, ok := find(rows, s); !ok && why == nil {
			t.Errorf("%v was not measured", s)
		} else if why != nil {
			t.Logf("%v: %v", s, why)
		}
	}
	writeReport(&out, rows)
	if err := o.draw(&out, rows, machine(r.at)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(svg)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<svg", "unix block", "1 KiB"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("the plots lack %q", want)
		}
	}
	if !strings.Contains(out.String(), svg) {
		t.Error("nobody says where the plots are")
	}
}

func TestListsWhatItWouldMeasure(t *testing.T) {
	var out, errs bytes.Buffer
	if code := command(strings.Fields("-list -run rtt/unix"), &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	got := strings.Fields(out.String())
	if !slices.Contains(got, "rtt/unix/block/64") || slices.Contains(got, "rtt/ospipe/block/64") {
		t.Errorf("lists %v", got)
	}
}

func TestRefusesBadCommandLines(t *testing.T) {
	for _, args := range []string{"-run nothing-like-it", "-run (", "-reps 0", "-sizes 3",
		"-cpus 1", "-wrong", "stray"} {
		var out, errs bytes.Buffer
		if code := command(strings.Fields(args), &out, &errs); code == 0 || errs.Len() == 0 {
			t.Errorf("%s: exit %d, %q", args, code, errs.String())
		}
		if out.Len() > 0 {
			t.Errorf("%s: prints %q", args, out.String())
		}
	}
}

func TestPlotsAreNotDrawnBesideJSONUnlessAskedFor(t *testing.T) {
	for args, want := range map[string]string{"": "bench.svg", "-json": "", "-svg= ": "",
		"-json -svg=x.svg": "x.svg"} {
		o, err := parse(strings.Fields(args), os.Stderr)
		if err != nil || o.svg != want {
			t.Errorf("%q: %q, %v, want %q", args, o.svg, err, want)
		}
	}
}
