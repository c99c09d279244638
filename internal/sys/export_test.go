//go:build linux && (amd64 || arm64)

package sys

// The tests' only door to what is not exported.

// SetSelfFD pretends that /proc is mounted elsewhere; it returns the undoing.
func SetSelfFD(dir string) (undo func()) {
	old := selfFD
	selfFD = dir
	return func() { selfFD = old }
}

// FillZero is what Fallocate does without fallocate.
func FillZero(fd int, from, to int64) error { return fillZero(fd, from, to) }

// Touch is what Prefault does without MADV_POPULATE_WRITE.
func Touch(m Mapping) { m.touch() }

// CoherentFS tells for each file system known by name whether it is coherent.
func CoherentFS() map[string]bool {
	m := map[string]bool{}
	for _, k := range fileSystems {
		m[k.name] = k.coherent
	}
	return m
}
