package ring

// QueuePositions is how many positions a queue has before they come again.
func QueuePositions(capacity int) uint64 { return sizeOfRing(capacity).positions() }

// QueueMaxMessage is the longest message of a queue of bytes with such options.
func QueueMaxMessage(o *QueueOptions) int {
	v := o.withDefaults(nil)
	g, err := v.geometry()
	if err != nil {
		panic(err)
	}
	return g.maxMessage()
}
