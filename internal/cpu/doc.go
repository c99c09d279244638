// Package cpu holds what depends on the processor: the instruction that a
// spinning thread gives its neighbour room with, how long that instruction
// takes, and what the processor says about itself.
package cpu
