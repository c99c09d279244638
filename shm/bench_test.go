//go:build linux

package shm

import "testing"

func BenchmarkRetain(b *testing.B) {
	s := closing(b, must(Anonymous("bench", &Options{Size: 1}))(b))
	b.ReportAllocs()
	for b.Loop() {
		s.Retain()
		s.Release()
	}
}

// What a sleep costs on top of the system call.
func BenchmarkAsleep(b *testing.B) {
	s := closing(b, must(Anonymous("bench", &Options{Size: 1}))(b))
	n := &ticks{}
	b.ReportAllocs()
	for b.Loop() {
		s.Asleep(n)
		s.Awake(n)
	}
}

func BenchmarkOpenClose(b *testing.B) {
	name := testName(b)
	closing(b, must(Create(name, &Options{Size: 1}))(b))
	b.ReportAllocs()
	for b.Loop() {
		must(Open(name, nil))(b).Close()
	}
}
