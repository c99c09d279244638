package ring

// StartAt sets the position of the first message of a new queue, so that tests
// cross the wrap of positions.
func (o QueueOptions) StartAt(p uint64) *QueueOptions {
	o.start = p
	return &o
}

// QueuePositions is how many positions a queue has before they come again.
func QueuePositions(capacity int) uint64 { return sizeOfRing(capacity).positions() }
