//go:build sluice_hooks

package hook

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Enabled reports whether the program was built with the tag sluice_hooks.
const Enabled = true

// A point is the n-th arrival at a step.
type point struct {
	step string
	n    int
}

// plan is what SLUICE_HOOK asks for. It does not change after init.
var plan map[point]func()

var (
	mu       sync.Mutex         // guards arrivals
	arrivals = map[string]int{} // how often each step was reached

	registered atomic.Pointer[func(string)]
)

func init() {
	var err error
	if plan, err = parse(os.Getenv("SLUICE_HOOK")); err != nil {
		fmt.Fprintf(os.Stderr, "hook: SLUICE_HOOK: %v\n", err)
		os.Exit(2)
	}
}

// parse reads the value of SLUICE_HOOK.
func parse(env string) (map[point]func(), error) {
	p := map[point]func(){}
	if env == "" {
		return p, nil
	}
	actions := map[string]func(){
		"kill": killSelf, "stop": stopSelf, "pause": forever,
	}
	for item := range strings.SplitSeq(env, ",") {
		f := strings.Split(item, ":")
		if len(f) != 3 || f[0] == "" {
			return nil, fmt.Errorf("%q is not step:n:action", item)
		}
		n, err := strconv.Atoi(f[1])
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q: n is %q, want 1 or more", item, f[1])
		}
		act := actions[f[2]]
		if act == nil {
			return nil, fmt.Errorf("%q: action is not kill, stop or pause", item)
		}
		p[point{f[0], n}] = act
	}
	return p, nil
}

// At marks the step that comes next: it counts the arrival, calls the
// registered function, and performs what SLUICE_HOOK asks for at this arrival.
func At(step string) {
	mu.Lock()
	arrivals[step]++
	n := arrivals[step]
	mu.Unlock()
	if f := registered.Load(); f != nil {
		(*f)(step)
	}
	if act := plan[point{step, n}]; act != nil {
		act()
	}
}

// Set registers f to be called at each arrival, in the arriving goroutine and
// with no lock held; f may block. It replaces the one before; nil removes it.
func Set(f func(step string)) {
	if f == nil {
		registered.Store(nil)
		return
	}
	registered.Store(&f)
}

// Steps returns the names of the steps reached so far, sorted.
func Steps() []string {
	mu.Lock()
	defer mu.Unlock()
	return slices.Sorted(maps.Keys(arrivals))
}

// Count returns how often a step was reached so far.
func Count(step string) int {
	mu.Lock()
	defer mu.Unlock()
	return arrivals[step]
}

// forever blocks the calling goroutine. It waits on a timer, because the
// runtime takes a program whose goroutines all block on nothing for deadlocked
// and ends it.
func forever() {
	for range time.Tick(time.Hour) {
	}
}
