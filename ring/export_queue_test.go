package ring

// QueuePositions is how many positions a queue has before they come again.
func QueuePositions(capacity int) uint64 { return sizeOfRing(capacity).positions() }
