package model

// A Removal says in which configuration the check notices that a rule is missing.
type Removal struct {
	Rule Rule
	In   string
}

// Removals are all rules without which a small configuration fails.
var Removals = []Removal{
	{AnnounceFirst, "one to two"},
	{LookLive, "one to two"},
	{LookDead, "joining"},
	{RingFirst, "one to two"},
	{FreeIgnored, "joining three"},
	{HeldFirst, "one to two"},
	{ClearFailed, "joining three"},
	{JoinClears, "joining three"},
	{RepairLeaves, "joining"},
	{LaneWords, "lanes"},
	{QueuedFirst, "one to two"},
	{Epoch, "one to two"},
	{EpochBeforeFree, "one to two"},
	{EpochAfterOrphan, "requeueing"},
	{JoinScans, "joining"},
	{PutOff, "one to two"},
	{Incarnation, "joining"},
	{Exact, "one to two"},
	{LookAgain, "chains"},
	{TakerSlot, "joining"},
	{Seal, "closing"},
	{EOFDead, "closing"},
	{EOFOrphans, "closing"},
	{EOFSlotsFirst, "closing"},
	{GiveBack, "chains of two"},
	{Discard, "chains"},
	{HeadLast, "chains"},
	{PartTag, "chains"},
	{HeadAgain, "chains"},
	{DoneFirst, "tasks"},
	{CountFirst, "tasks"},
	{CountExact, "tasks"},
	{Signed, "cursors"},
	{Proof, "cursors"},
}

// Spare are rules whose removal nobody notices, and why that is so. R of lap(t)
// without the chunk can have been announced by nobody, so a look finds nothing. An
// orphan that did not move the epoch is found at a tick, because its slot is still
// DEAD; without ticks a repairer that stops before it moves the epoch would hide
// the orphan: Large shows it.
var Spare = []Removal{
	{Settled, "two kills"},
	{Settled, "joining"},
	{OrphanMoves, "two kills"},
}
