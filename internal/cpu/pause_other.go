//go:build !amd64 && !arm64

package cpu

// Pause burns about as much time as n spin-loop hints would.
//
//go:noinline
func Pause(n uint32) {
	for range n {
		idle()
	}
}

//go:noinline
func idle() {}
