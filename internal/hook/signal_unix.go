//go:build sluice_hooks && unix && !linux

package hook

import (
	"fmt"
	"os"
	"syscall"
)

func killSelf() { raise(syscall.SIGKILL) }
func stopSelf() { raise(syscall.SIGSTOP) }

func raise(sig syscall.Signal) {
	if err := syscall.Kill(os.Getpid(), sig); err != nil {
		panic(fmt.Sprintf("hook: raise %v: %v", sig, err))
	}
}
