// Package value is planned and has no API yet.
//
// It will hold values, records and arrays in shared memory, what Value and Array
// are to Python's multiprocessing. Until then, package shm gives the memory.
package value
