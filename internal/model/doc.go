// Package model checks the protocol of the queue, a ring of chunk numbers, by
// visiting every state that it can reach in small configurations. It is imported
// by nobody: its tests are what it is for.
//
// # What is modelled
//
// A step is one access of shared memory, together with what its thread does by
// itself up to the next one. Between any two steps of a participant anybody else
// may move, and the participant may be killed, repairers and newcomers included.
// There are putting and taking, the repair of the dead by several at once, the
// scan for orphans, and, where a [Config] switches them on: lanes, joining and
// leaving with reuse of slots, private cursors and how a newcomer finds its own,
// chains, closing, tasks, requeueing, and dropping the oldest. Laps, positions and
// incarnations count modulo a small number, and laps begin just before they wrap.
//
// Safety is checked at every step: no chunk is in two hands; no message is lost
// after it was committed, or delivered twice unless the one that had it died;
// nothing is committed behind the end, and no orphan is left behind it that was there
// when the end was seen; no chunk of a chain is freed while somebody reads it; no
// task is counted twice; a plain store by an owner overwrites only what it believes
// to be there.
//
// Liveness is checked when all states are known: from each of them those that still
// run can come to a state in which every death is repaired, every message is
// delivered, every chunk is FREE and the end of a closed queue was reported, also with
// participants stopped for ever. Being stopped is only not being
// scheduled, so it needs no states of its own: the search backwards from the goals
// leaves out the steps of the stopped. They are excused what is in their hands and what
// they announce in the middle of a take.
//
// # What is assumed
//
// Memory is sequentially consistent. The oracle of death is exact. Sleeping and
// waking are not here: a consumer that finds nothing looks again. Links of a chain
// are believed, since only its owner follows them. HELD and ORPHAN carry no
// position, and orphans are adopted in any order. The widths of tags and
// incarnations are not: here two bits never wrap within a run.
//
// # How it stays small
//
// Equal participants and all chunks are renamed into one order (every scan goes in
// any order, so names mean nothing). What a thread no longer needs is zero. A
// repairer passes over chunks and announcements that can concern it no more. Of the
// epoch only matters whether it is the one that was scanned. A cursor may be left
// out, because a thread acts only where the queue's true end is: with an older
// cursor it moves on without effect; "cursors" models them as they are.
//
// # How far it goes
//
// The configurations in [Small] complete in every test run, 2.0 million states
// together; each rule in [Removals] makes one of them fail when it is removed.
// .ci/model.sh runs those in [Large]. Complete are, of those that the earlier model
// could not finish, two producers and two consumers on a ring of two with a kill and any
// two stopped: 1.4 million states.
package model
