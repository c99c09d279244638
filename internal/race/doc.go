// Package race tells the race detector about ordering that it cannot see.
//
// The detector ignores synchronisation through memory outside Go's heap, so
// correct code that hands heap data over by way of a mapping would be reported.
// Under -race, Release and Acquire on the same key make the edge visible;
// without it they compile to nothing.
package race
