//go:build !plan9

package proc

import (
	"os"
	"syscall"
)

// signalOf returns the signal that ended a process, nil if none did.
func signalOf(state *os.ProcessState) os.Signal {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return ws.Signal()
	}
	return nil
}
