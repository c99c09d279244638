package model

import (
	"os"
	"testing"
	"time"
)

func TestRules(t *testing.T) {
	if os.Getenv("RULES") == "" {
		t.Skip()
	}
	cfgs := []Config{
		{Name: "pcc", Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 1, Frozen: 1},
		{Name: "pcc2", Slots: []string{"p", "c", "c"}, Ring: 2, Chunks: 3, Puts: 3, Kills: 1, Frozen: 1},
		{Name: "ppc", Slots: []string{"p", "p", "c"}, Ring: 1, Chunks: 3, Puts: 3, Kills: 1, Frozen: 1},
		{Name: "join", Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 2, Joins: 1, Frozen: 1},
		{Name: "close", Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 3, Puts: 3, Kills: 1, Frozen: 1, Close: true},
		{Name: "chain", Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 3, Puts: 3, Kills: 1, Frozen: 1, Chain: 2},
		{Name: "chains", Slots: []string{"p", "p", "c"}, Ring: 1, Chunks: 3, Puts: 3, Kills: 1, Frozen: 1, Chain: 2},
		{Name: "lanes", Slots: []string{"p", "cc", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 1, Frozen: 2},
		{Name: "tasks", Slots: []string{"p", "c", "c"}, Ring: 2, Chunks: 3, Puts: 3, Kills: 2, Frozen: 1, Tasks: true},
		{Name: "requeue", Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 1, Frozen: 1, Requeue: true},
		{Name: "drop", Slots: []string{"p", "p", "c"}, Ring: 1, Chunks: 3, Puts: 3, Kills: 1, Frozen: 1, Drop: true},
		{Name: "mixed", Slots: []string{"pc", "pc"}, Ring: 1, Chunks: 3, Puts: 3, Kills: 1, Frozen: 1},
		{Name: "pccK2", Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 3, Puts: 3, Kills: 2, Frozen: 1},
		{Name: "ppcc", Slots: []string{"p", "p", "c", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 1, Frozen: 2},
		{Name: "pccK2J2", Slots: []string{"p", "c", "c"}, Ring: 1, Chunks: 3, Puts: 2, Kills: 2, Joins: 2, Frozen: 1},
		{Name: "pcccK2", Slots: []string{"p", "c", "c", "c"}, Ring: 1, Chunks: 2, Puts: 2, Kills: 2, Frozen: 1},
	}
	rules := []Rule{AnnounceFirst, LookLive, LookDead, RingFirst, FreeIgnored, HeldFirst, ClearFailed, JoinClears, RepairLeaves, LaneWords, QueuedFirst, Epoch, EpochBeforeFree, EpochAfterOrphan, Ticks, JoinScans, PutOff, Incarnation, Seal, EOFDead, EOFOrphans, EOFSlotsFirst, GiveBack, Discard, HeadLast, PartTag, HeadAgain, DoneFirst, CountFirst, CountExact, Settled, TakerSlot, LookAgain}
	for _, c := range cfgs {
		st := time.Now()
		r := Run(&c, 5e6, time.Time{})
		t.Logf("sane: %s: %d %v %v %s", c.Name, r.States, r.Complete, time.Since(st), r.Violation)
	}
	for _, rule := range rules {
		found := false
		for _, c := range cfgs {
			c.Without = rule
			r := Run(&c, 3e6, time.Time{})
			if r.Violation != "" {
				t.Logf("%-60s %s %d: %s (%d steps)", rule, c.Name, r.States, r.Violation, len(r.Trace))
				found = true
				break
			}
		}
		if !found {
			t.Logf("%-60s NOT NOTICED", rule)
		}
	}
}
