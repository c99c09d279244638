//go:build !linux

package shmtest

// FDs needs Linux; here it is nil.
func FDs() []string { return nil }

// Threads needs Linux; here it is 0.
func Threads() int { return 0 }

// Mappings needs Linux; here it is nil.
func Mappings() []string { return nil }

// ShmFiles needs Linux; here it is nil.
func ShmFiles(prefix string) []string { return nil }

func startPoller() {}
