package main

import (
	"fmt"
	"io"
	"math"
)

// lockTables are those of locks and values.
type lockTables struct{ ops, count table }

func newLockTables() *lockTables {
	return &lockTables{
		ops: table{head: []string{"nobody in the way", "size", "time", "allocs/op", "n", "range",
			"times as long as"}, left: 2},
		count: table{head: []string{"two processes count", "turns/s", "time/turn", "CPU/turn",
			"allocs/turn", "n", "turns/s range", "shares", "vs python-count"}, left: 1},
	}
}

// add reports whether the row is one of theirs.
func (t *lockTables) add(rows []row, r row) bool {
	allocs := fmt.Sprintf("%.2f", r.Allocs)
	switch r.Bench {
	case benchOps:
		bytes := ""
		if r.Size > 0 {
			bytes = size(r.Size)
		}
		t.ops.add([]string{r.Impl, bytes}, []string{duration(1e9 / r.Msgs), allocs, r.reps(),
			duration(1e9/r.MsgsMax) + "…" + duration(1e9/r.MsgsMin), longerThan(rows, r)})
	case benchCount:
		t.count.add([]string{r.Impl}, []string{count(r.Msgs), duration(1e9 / r.Msgs),
			optional(r.CPU, duration), allocs, r.reps(), count(r.MsgsMin) + "…" + count(r.MsgsMax),
			optional(r.Share, shares), versus(rows, r, pythonCountImpl)})
	default:
		return false
	}
	return true
}

func (t *lockTables) write(to io.Writer) {
	t.ops.write(to)
	t.count.write(to)
}

// shares formats what two have had, of which one had that part.
func shares(part float64) string {
	percent := math.Round(100 * part)
	return fmt.Sprintf("%.0f:%.0f", percent, 100-percent)
}

// models are what Go has for goroutines in place of ours.
var models = map[*impl]*impl{
	mutexOps: syncMutexOps,
	rlockOps: syncRLockOps,
	loadOps:  atomicLoadOps,
	addOps:   atomicAddOps,
}

// longerThan says how many times longer an operation takes than its model.
func longerThan(rows []row, r row) string {
	model := models[implNamed(r.Impl)]
	if model == nil {
		return ""
	}
	s := r.spec
	s.Impl = model.name
	base, ok := find(rows, s)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s %s", model.name, times(better(base, r)))
}
