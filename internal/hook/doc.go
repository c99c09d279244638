// Package hook names the steps of an operation on shared memory, so that a test
// can end, stop or schedule a process at any of them.
//
// A call of [At] stands before each access to shared memory. Without the build
// tag sluice_hooks it is an empty function that the compiler removes, and
// nothing of this package is left in the program. With the tag, the environment
// variable SLUICE_HOOK says what happens where:
//
//	SLUICE_HOOK=step:n:action[,step:n:action...]
//
// The n-th arrival at step, counted from 1 over all goroutines of the process,
// performs the action:
//
//	kill   SIGKILL to the own process: it never gets past the step
//	stop   SIGSTOP to the own process: it goes on from the step after SIGCONT
//	pause  this goroutine blocks for ever, the others go on
//
// A SLUICE_HOOK that cannot be understood ends the process at its start: a test
// that asks for a kill and misspells it must not pass.
//
// [Set] registers a function called at each arrival, for a scheduler that
// decides which goroutine takes the next step.
package hook
