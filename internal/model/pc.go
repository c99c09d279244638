package model

// A pc says which access of shared memory a thread makes next.
type pc uint8

const (
	gone pc = iota // no such thread now

	putIdle
	putMore   // a chain wants another chunk
	putBack   // a chain that cannot be completed
	putPart   // a chunk of the chain becomes PART
	putLook   // read the ring
	putQueued // QUEUED at the position
	putCAS

	takeIdle // look at the epoch
	takeLook // read the ring
	takeAnnounce
	takeCAS
	takeUndo // clear the announcement of a take that failed
	takeHeld
	takeClear
	deliver
	release
	requeue // an orphan was made of a message in hand: epoch++
	countDone

	walkDiscard // a living owner frees a chain: its head
	walkPart
	walkHead

	adopt // scan for orphans

	seal
	eofSlots
	eofOrphans
	eofReturn

	joinClear
	joinActive
	joinFind

	repTake // read an announcement of the dead
	repWord // the chunk's word
	repTakeRing
	repClear // (a removed rule) clear the dead one's announcement
	repScan  // chunks that name the dead
	repRing
	repLook // every announcement
	repLookSlot
	repLookRing // (a removed rule) read the ring only now
	repOrphan
	repCount
	repGone // never published or done with: DISCARD, or FREE at once
	repParts
	repHead // read the head again
	repCut  // free the part
	repFreeHead
	repEnd // epoch++
	repFree
	repEpochLate // (a removed rule) epoch++ after the slot is free

	steps
)

// Steps are those that a run reached.
type Steps [steps]bool
