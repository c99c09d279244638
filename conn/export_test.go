package conn

// Examine checks the header of a pipe's data area.
func Examine(b []byte) error {
	_, err := examine("memory", b)
	return err
}

// Memory is the data area of the pipe, as this end has it mapped.
func Memory(c *Conn) []byte { return c.handle.e.seg.Data() }

// Checksum is what the header's checksum must be.
func Checksum(b []byte) uint32 { return checksum(b) }
