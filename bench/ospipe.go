package main

import (
	"os"
)

// ospipeImpl is a pair of os.Pipes, one for each direction. Each process has
// both its ends open in blocking mode, which is what os.NewFile makes of an
// inherited descriptor; it is also the faster one. Many may use one pipe, since
// messages of up to 4096 bytes are written in one piece.
var ospipeImpl = &impl{
	name:    "ospipe",
	benches: []string{benchRTT, benchThroughput, benchFanIn},
	waits:   []string{waitSpin, waitBlock},
	share:   shareOSPipe,
	open:    openOSPipe,
}

func shareOSPipe(s spec) (*shared, error) {
	sh := &shared{}
	for i := range 2 { // direction: out of process i
		r, w, err := os.Pipe()
		if err != nil {
			sh.close()
			return nil, err
		}
		sh.files[i] = append(sh.files[i], w)
		sh.files[1-i] = append(sh.files[1-i], r)
	}
	return sh, nil
}

func openOSPipe(s spec, side int, files []*os.File) (endpoint, error) {
	// The first direction's end came first to both.
	out, in := files[side], files[1-side]
	if s.Wait != waitSpin {
		return newCopying(s, &stream{out, false}, &stream{in, false}), nil
	}
	w, err := newPolled(out, false, s.fan())
	if err != nil {
		return nil, err
	}
	r, err := newPolled(in, false, s.fan())
	if err != nil {
		return nil, err
	}
	return newCopying(s, w, r), nil
}
