// Package sluice is the front page of a module that lets separate processes on
// one Linux machine talk through shared memory: messages are written once, in
// place, and read in place. A process that dies, at whatever instruction, blocks
// nobody and corrupts nothing.
//
//	conn      two processes, one connection: objects, bytes, memory in place, net.Conn
//	ring      a queue of many processes; the byte ring that conn stands on
//	value     shared numbers, arrays, structs, blackboards
//	shm/lock  locks that survive their owners
//	shm/proc  child processes that run functions on all of these
//	shm       shared memory itself: segments, who is in them, who has died
//	bench     go run ./bench measures all of it on your machine
//
// Begin with package conn, or with ring.Queue. This package itself holds nothing: import the others.
//
// # No cgo
//
// No package in this module uses cgo, and none that it depends on does. So a
// program that uses sluice is built by the Go toolchain alone, for any platform
// from any other, into one static file with CGO_ENABLED=0; no call pays for the
// way into C and back; the race detector, the profiler and stack traces see all
// of it; and a child process needs nothing installed to talk to its parent.
//
// The tests hold the promise: internal/archtest asks the go command for every
// package's cgo files, and fails if there is one.
package sluice
