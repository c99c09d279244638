// Package lock is locks between processes that survive the death of who holds
// them.
package lock
