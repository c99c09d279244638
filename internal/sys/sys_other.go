//go:build !linux || !(amd64 || arm64)

package sys

import (
	"errors"
	"os"
	"time"
)

// What the functions do is said where they work, in the files for Linux. Here
// they exist so that their callers compile.

const Supported = false

var start = time.Now()

func Monotonic() int64       { return int64(time.Since(start)) + 1 }
func CPUTime() time.Duration { return 0 }
func Threads() int           { return 0 }

func FutexWait(addr *uint32, val uint32, deadline int64) error    { return errors.ErrUnsupported }
func FutexWake(addr *uint32, n int) (woken int, err error)        { return 0, errors.ErrUnsupported }
func FutexWakePrivate(addr *uint32, n int) (woken int, err error) { return 0, errors.ErrUnsupported }
func FutexCalls() (waits, wakes uint64)                           { return 0, 0 }
func HaveWaitv() bool                                             { return false }
func DisableWaitv(off bool)                                       {}

func FutexWait2(shared *uint32, val uint32, private *uint32, pval uint32,
	deadline int64) error {
	return errors.ErrUnsupported
}

// VectorSize is how many words a Vector can hold.
const VectorSize = 128

// Vector needs Linux.
type Vector struct{}

func (*Vector) Reset()                    {}
func (*Vector) Add(*uint32, uint32, bool) {}
func (*Vector) Wait() error               { return errors.ErrUnsupported }

func MemfdCreate(name string) (fd int, err error)           { return -1, errors.ErrUnsupported }
func AddSeals(fd int) error                                 { return errors.ErrUnsupported }
func IsMemfd(fd int) (memfd, sealed bool)                   { return false, false }
func LockOFD(fd int, off, n int64) error                    { return errors.ErrUnsupported }
func UnlockOFD(fd int, off, n int64) error                  { return errors.ErrUnsupported }
func LockedOFD(fd int, off, n int64) (bool, error)          { return false, errors.ErrUnsupported }
func Reopen(fd int) (newfd int, err error)                  { return -1, errors.ErrUnsupported }
func OpenTmp(dir string, mode uint32) (fd int, err error)   { return -1, errors.ErrUnsupported }
func OpenExcl(path string, mode uint32) (fd int, err error) { return -1, errors.ErrUnsupported }
func Open(path string, readonly bool) (fd int, err error)   { return -1, errors.ErrUnsupported }
func LinkFD(fd int, path string) error                      { return errors.ErrUnsupported }
func Close(fd int) error                                    { return errors.ErrUnsupported }
func Dup(fd int) (int, error)                               { return -1, errors.ErrUnsupported }
func SetCloexec(fd int) error                               { return errors.ErrUnsupported }
func Fallocate(fd int, size int64) error                    { return errors.ErrUnsupported }
func Free(dirOrFile string) (bytes int64)                   { return -1 }
func FreeFD(fd int) int64                                   { return -1 }
func Stat(fd int) (FileID, error)                           { return FileID{}, errors.ErrUnsupported }
func StatPath(path string) (FileID, error)                  { return FileID{}, errors.ErrUnsupported }
func FSName(fd int) (name string, coherent bool, err error) { return "", false, errors.ErrUnsupported }
func Chmod(fd int, mode uint32) error                       { return errors.ErrUnsupported }
func Chgrp(fd, gid int) error                               { return errors.ErrUnsupported }

// Mapping is shared memory; there is none here.
type Mapping []byte

func Map(fd int, size int64) (Mapping, error) { return nil, errors.ErrUnsupported }

func (m Mapping) Bytes() []byte     { return m }
func (m Mapping) Unmap() error      { return errors.ErrUnsupported }
func (m Mapping) Prefault() error   { return errors.ErrUnsupported }
func (m Mapping) Lock() error       { return errors.ErrUnsupported }
func (m Mapping) HugeAdvice() error { return errors.ErrUnsupported }

func PidfdOpen(pid int) (int, error) { return -1, errors.ErrUnsupported }
func DisablePidfd(off bool)          {}
func PidNamespace() uint64           { return 0 }
func StartTime(pid int) uint64       { return 0 }
func BootID() [16]byte               { return [16]byte{} }

func WatchPid(pid int) (exited <-chan struct{}, stop func(), err error) {
	return nil, nil, errors.ErrUnsupported
}

func MembarrierRegister() error             { return errors.ErrUnsupported }
func Membarrier() error                     { return errors.ErrUnsupported }
func Yield()                                {}
func Affinity() ([]int, error)              { return nil, errors.ErrUnsupported }
func SetAffinity(pid int, cpus []int) error { return errors.ErrUnsupported }

func PeerCred(fd int) (pid, uid, gid int, err error) { return 0, 0, 0, errors.ErrUnsupported }
func Rights(fds ...int) []byte                       { return nil }
func ParseRights(oob []byte) (fds []int)             { return nil }
func LockDir(path string) (unlock func(), err error) { return nil, errors.ErrUnsupported }

func SendNow(fd int, p, oob []byte) error { return errors.ErrUnsupported }
func Writable(fd int) bool                { return false }
func MaxFiles() int                       { return 1024 }
func NoLinger(fd int)                     {}
func CloseForeign(fd int) error           { return errors.ErrUnsupported }

func ForeignFile(fd int, name string) (*os.File, error) { return nil, errors.ErrUnsupported }

type Memory struct {
	Sealed, Ordinary bool
	Size, Present    int64
}

func MemoryOf(fd int) (Memory, error) { return Memory{}, errors.ErrUnsupported }

// The flags need Linux.
const (
	Truncated       = 0
	RightsTruncated = 0
)

// RightsSpace needs Linux.
var RightsSpace = 0

func Readable(fd int) (bool, error)             { return false, errors.ErrUnsupported }
func Epoll(fd int) (ep int, ok bool, err error) { return -1, false, errors.ErrUnsupported }
func Eventfd() (int, error)                     { return -1, errors.ErrUnsupported }
func RaiseEventfd(f *os.File)                   {}
func DrainEventfd(f *os.File)                   {}
