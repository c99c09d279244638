// Package shm is shared memory for several processes: segments, who is in
// them, and what happens when one of those dies.
package shm
