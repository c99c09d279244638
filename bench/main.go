package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	if env := os.Getenv(childEnv); env != "" {
		os.Exit(runChild(env))
	}
	os.Exit(command(os.Args[1:], os.Stdout, os.Stderr))
}

// options are what the command line says.
type options struct {
	run    string
	list   bool
	quick  bool
	reps   int
	insist bool // on all the repetitions
	budget time.Duration
	sizes  []int
	cpus   []int
	json   bool
	svg    string
	twin   string
	python bool
	seed   uint64
	crews  []crew
}

// parse reads the command line. flag.ErrHelp: help was asked for and given.
func parse(args []string, errw io.Writer) (*options, error) {
	var o options
	var sizes, cpus, producers, consumers string
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(errw)
	fs.StringVar(&o.run, "run", "", "measure what matches this `regexp`: whole elements of bench/impl/wait/size")
	fs.BoolVar(&o.list, "list", false, "list the measurements and leave")
	fs.BoolVar(&o.quick, "quick", false, "fewer sizes and shorter passes, under 30 s")
	fs.IntVar(&o.reps, "reps", 3, "repetitions of each measurement, interleaved")
	fs.DurationVar(&o.budget, "time", 0, "`time` for one repetition (default: what fits the whole run)")
	fs.StringVar(&sizes, "sizes", "", "`bytes` of a message, as 64,1048576")
	fs.StringVar(&cpus, "cpus", "", "the two `CPUs` to run on, as 0,1 (default: the first two)")
	fs.StringVar(&producers, "producers", "4", "`numbers` of producers in fan-in, each from 1 to 8, as 1,2,8")
	fs.StringVar(&consumers, "consumers", "4", "likewise of consumers")
	fs.Uint64Var(&o.seed, "seed", 1, "`number` that decides whom fanin-kill kills")
	fs.BoolVar(&o.python, "python", false, "measure Python's multiprocessing.Queue and Value too, if there is a python3")
	fs.BoolVar(&o.json, "json", false, "print one JSON object per line instead of the report")
	fs.StringVar(&o.svg, "svg", "bench.svg", "`file` for the plots; empty: none. With -json: none unless given")
	fs.StringVar(&o.twin, "twin", "", "`program` to run between repetitions, whose figures join the report (see twin.go)")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("bench: unexpected %q", fs.Arg(0))
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	o.insist = given["reps"]
	if o.json && !given["svg"] {
		o.svg = ""
	}
	if o.reps < 1 {
		return nil, fmt.Errorf("bench: -reps: %d is less than 1", o.reps)
	}
	if err := o.lists(sizes, cpus); err != nil {
		return nil, err
	}
	return &o, o.pairs(producers, consumers)
}

// pairs reads how many there shall be in fan-in.
func (o *options) pairs(producers, consumers string) error {
	ps, err := parseCrew("producers", producers)
	if err != nil {
		return err
	}
	cs, err := parseCrew("consumers", consumers)
	if err != nil {
		return err
	}
	for _, p := range ps {
		for _, c := range cs {
			o.crews = append(o.crews, crew{p, c})
		}
	}
	return nil
}

// lists reads the arguments that are lists.
func (o *options) lists(sizes, cpus string) (err error) {
	o.sizes = fullSizes
	if o.quick {
		o.sizes = quickSizes
	}
	if sizes != "" {
		if o.sizes, err = parseSizes(sizes); err != nil {
			return err
		}
	}
	if cpus != "" {
		o.cpus, err = parseCPUs(cpus)
	}
	return err
}

// command is the whole program; it returns what to exit with.
func command(args []string, out, errw io.Writer) int {
	o, err := parse(args, errw)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		err = o.work(out, errw)
	}
	if err != nil {
		fmt.Fprintln(errw, err)
		return 1
	}
	return 0
}

func (o *options) work(out, errw io.Writer) error {
	r, err := o.plan(errw)
	if err != nil {
		return err
	}
	if o.list {
		for _, s := range r.specs {
			fmt.Fprintln(out, s)
		}
		return nil
	}
	about := machine(r.at)
	head := out
	if o.json {
		head = errw
	}
	fmt.Fprintf(head, "%s\n\n", strings.Join(about, "\n"))
	r.run()
	rows := summarise(r.samples)
	if o.json {
		err = writeJSON(out, rows)
	} else {
		writeReport(out, rows)
	}
	for _, s := range r.specs {
		if why := r.lacking[s]; lacking(why) {
			fmt.Fprintf(errw, "bench: %v cannot be measured here: %v\n", s, why)
		}
	}
	if err == nil && o.svg != "" && len(rows) > 0 {
		err = o.draw(head, rows, about)
	}
	return errors.Join(append(r.failed, err)...)
}

// plan decides what is measured, where and for how long.
func (o *options) plan(errw io.Writer) (*runner, error) {
	match, err := selects(o.run)
	if err != nil {
		return nil, err
	}
	at := choosePlace(o.cpus)
	at.seed = o.seed
	all := menu{sizes: o.sizes, crews: o.crews, python: o.python, quick: o.quick}.catalog()
	specs := slices.DeleteFunc(all, func(s spec) bool {
		return !match(s) || !at.possible(s)
	})
	if len(specs) == 0 {
		return nil, fmt.Errorf("bench: -run %q matches nothing (-list shows what there is)", o.run)
	}
	r := &runner{at: at, specs: specs, reps: o.reps, budget: o.budget, say: newProgress(errw)}
	r.total, r.limit = fullTime, fullLimit
	if o.quick {
		r.total, r.limit = quickTime, quickLimit
	}
	if o.insist {
		r.limit = 0
	}
	if o.twin != "" {
		r.extra = newTwin(o.twin, specs).run
	}
	return r, nil
}

// draw writes the plots and says where.
func (o *options) draw(to io.Writer, rows []row, about []string) error {
	if err := writePlots(o.svg, rows, about); err != nil {
		return fmt.Errorf("bench: draw: %w", err)
	}
	path, err := filepath.Abs(o.svg)
	if err != nil {
		path = o.svg
	}
	fmt.Fprintf(to, "plots: %s\n", path)
	return nil
}
