//go:build sluice_hooks

package hook

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// killSelf and stopSelf aim at the calling thread, so that it acts on the
// signal before it returns to user code. Aimed at the process, another thread
// might take a SIGSTOP, and this one run past its step meanwhile.
func killSelf() { raise(syscall.SIGKILL) }
func stopSelf() { raise(syscall.SIGSTOP) }

func raise(sig syscall.Signal) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := syscall.Tgkill(os.Getpid(), syscall.Gettid(), sig)
	if err != nil {
		panic(fmt.Sprintf("hook: raise %v: %v", sig, err))
	}
}
