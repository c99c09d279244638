package model

// A Config is one run: who takes part, how large everything is, and which
// features are switched on.
type Config struct {
	Name   string
	Slots  []string // a participant each, a letter for each lane: p puts, c takes, x takes and never repairs
	Ring   int
	Chunks int
	Puts   int // messages begun by all producers together
	Loaded int // messages there at the start, put by somebody who left
	Kills  int
	Joins  int // participants that come into a slot that has become free
	Frozen int // how many may be stopped for ever at the same time (liveness)

	Chain   int  // chunks of the longest message; 0 is 1, without DISCARD
	Close   bool // CloseSend and the end of the queue
	Cursors bool // private cursors and the newcomer's search
	Tasks   bool // TaskDone
	Drop    bool // a producer that finds it full drops the oldest
	Requeue bool // a consumer may give a message back
	Leave   bool // a participant with nothing in hand may leave

	Without Rule
}

// A Rule is one of the protocol's that can be removed, to see the check fail.
type Rule string

// The rules. What is done instead stands behind each.
const (
	AnnounceFirst    Rule = "the take is announced before the CAS"                       // after it
	LookLive         Rule = "live announcements are looked at before an orphan"          // not at all
	LookDead         Rule = "a dead announcement means taken"                            // never published
	RingFirst        Rule = "R is read before the announcements"                         // after them
	FreeIgnored      Rule = "announcements of FREE slots are ignored"                    // count as live
	HeldFirst        Rule = "HELD is stored before the announcement is cleared"          // after
	ClearFailed      Rule = "the announcement of a failed take is cleared"               // at the next take
	JoinClears       Rule = "a joiner clears its announcements before ACTIVE"            // after
	RepairLeaves     Rule = "repair never clears an announcement"                        // it does
	LaneWords        Rule = "every lane has its own announcement"                        // one for all
	QueuedFirst      Rule = "QUEUED is stored before the CAS"                            // after
	Epoch            Rule = "the epoch moves for orphans"                                // never
	EpochBeforeFree  Rule = "the epoch moves before the slot is FREE"                    // after
	EpochAfterOrphan Rule = "Requeue moves the epoch after the orphan"                   // before
	Ticks            Rule = "consumers scan while a slot is DEAD"                        // they do not
	JoinScans        Rule = "a newcomer scans for orphans"                               // starts with the epoch
	PutOff           Rule = "a slot with something put off stays DEAD"                   // becomes FREE
	Incarnation      Rule = "words name the incarnation"                                 // only the slot
	Seal             Rule = "only SEALED is the end"                                     // empty and the flag
	EOFDead          Rule = "no end while a slot is DEAD"                                // not looked at
	EOFOrphans       Rule = "no end while there is an orphan"                            // not looked at
	EOFSlotsFirst    Rule = "the end looks at slots before orphans"                      // after
	GiveBack         Rule = "a chain gives back before it waits"                         // waits
	Discard          Rule = "a chain's head is DISCARD before its parts are freed"       // as it was
	HeadLast         Rule = "the head is freed last"                                     // first
	PartTag          Rule = "PART has a tag"                                             // has none
	HeadAgain        Rule = "the head is read again before a part is freed"              // not
	DoneFirst        Rule = "DONE is stored before the counter"                          // after
	CountFirst       Rule = "repair counts before it frees"                              // after
	CountExact       Rule = "repair counts only from n-1 to n"                           // adds one
	Settled          Rule = "R of lap(t) without the chunk means never published"        // look anyway
	LookAgain        Rule = "repair looks again at a chunk whose CAS failed"             // goes on
	Exact            Rule = "repair writes by CAS on the word that it read"              // whatever is there
	OrphanMoves      Rule = "the epoch moves for an orphan though something was put off" // only when nothing was
	Signed           Rule = "laps and positions are compared by signed differences"      // as numbers
	Proof            Rule = "a cursor goes no further than a word proves"                // a lap further
	TakerSlot        Rule = "the announcement is looked at again with its slot"          // orphan at once
)

func (c *Config) has(r Rule) bool { return c.Without != r }

func (c *Config) chains() bool { return c.Chain > 1 }
