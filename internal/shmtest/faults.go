package shmtest

import (
	"os"
	"testing"

	"github.com/sluice-ipc/sluice/internal/race"
)

// RequireFaults skips a test under an emulator that delivers SIGBUS without the
// address of the fault, as qemu-user does: the fault then cannot be told from others.
func RequireFaults(t testing.TB) {
	t.Helper()
	if os.Getenv("SLUICE_EMULATED") != "" {
		t.Skip("missing: the address of a fault, under emulation")
	}
}

// RequireFaultsInUse is RequireFaults for a test that truncates a file while others
// use it. The race detector looks whether an address is there, and then accesses it
// in code of its own, where a fault ends the process.
func RequireFaultsInUse(t testing.TB) {
	t.Helper()
	RequireFaults(t)
	if race.Enabled {
		t.Skip("missing: faults within the race detector")
	}
}
