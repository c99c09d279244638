package model

// What a chunk is. There is room for no more in three bits.
const (
	free uint8 = iota
	loaned
	queued
	held
	orphan
	part
	discard
	done
)

// What a ring word is.
const (
	empty uint8 = iota
	full
	sealed
)

// What a slot of the participants table is.
const (
	slotFree uint8 = iota
	slotActive
	slotDead
)

// The bounds that packing allows.
const (
	maxThreads = 6
	maxChunks  = 6
	maxRing    = 2
	laps       = 8 // laps count modulo this
)

// References to chunks, slots and threads are stored as the index plus one, so
// that zero is nobody and a renaming leaves it alone.

// A word is a chunk's state word.
type word struct {
	kind uint8
	slot uint8 // owner; of a PART, the producer
	inc  uint8 // incarnation of the owner
	arg  uint8 // QUEUED: position; PART: head; DONE: ordinal
	tag  uint8 // PART: sequence; DONE: lane
}

// A chunk is its state word, the link in its payload, and what only the checker
// knows: whose hands it is in and what has happened to the message.
type chunk struct {
	word
	link      uint8 // the next chunk of the chain
	hand      uint8 // ghost: the living thread that has it
	committed bool  // ghost: the message was published
	given     bool  // ghost: a consumer that lives, or finished it, was handed it
	counted   bool  // ghost: its task was counted as finished
}

// A cell is a ring word.
type cell struct{ lap, st, c uint8 }

// A notice is a lane's taking word.
type notice struct{ pos, c uint8 }

// A slot is one of the participants table; alive is what its lock says, which
// nobody else writes.
type slot struct {
	st, inc uint8
	alive   bool
}

// A thread is a lane of a participant with whatever it remembers between two
// accesses of shared memory. Fields that an operation no longer needs are zero.
type thread struct {
	pc    pc
	c, d  uint8 // chunks: the one in hand or under repair; a part, or the last link
	pos   uint8
	j     uint8 // repair: slot
	jinc  uint8 // repair: its incarnation
	lane  uint8 // repair: which lane's announcement
	u     uint8 // repair: the thread whose announcement matched
	mask  uint8 // what the innermost scan has seen
	done  uint8 // repair: chunks seen; end of file: chunks that forbid it
	w     word  // repair: the word that was read
	scan  bool  // repair: the look is for a chunk of the slot's, not for its announcement
	dead  bool  // repair: the look found a dead announcer
	late  bool  // repair: the pass put something off
	made  bool  // repair: the pass made an orphan
	fresh bool  // the epoch that was fully scanned is the present one
	now   bool  // the epoch of the scan under way is the present one
	cur   uint8 // cursor, where cursors are modelled
	tag   uint8 // sequence of the chains made
}

// A state is everything at one moment.
type state struct {
	ring   [maxRing]cell
	chunks [maxChunks]chunk
	slots  [maxThreads]slot
	taking [maxThreads]notice
	count  [maxThreads]uint8 // finished tasks of a lane
	th     [maxThreads]thread

	puts, kills, joins uint8 // used up of what the configuration allows
	flag               bool  // CloseSend was called
	eof                bool  // ghost: somebody was told io.EOF
	published          uint8 // ghost: tasks published
}

// idle forgets what an operation needed.
func (th *thread) idle(at pc) {
	*th = thread{pc: at, fresh: th.fresh, cur: th.cur, tag: th.tag}
}
