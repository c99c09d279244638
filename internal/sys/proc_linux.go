//go:build amd64 || arm64

package sys

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// PidNamespace identifies the PID namespace of this process, so that pids of
// two processes are compared only within one. 0: not known.
func PidNamespace() uint64 { return pidNamespace() }

var pidNamespace = sync.OnceValue(func() uint64 {
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/pid", &st) != nil {
		return 0
	}
	return st.Ino
})

// StartTime returns when the process started, in clock ticks since boot. With
// the pid it names a process for good, for people to read: it proves nothing
// about life, for a zombie has one too. 0: no such process, or not known.
func StartTime(pid int) uint64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The name comes second and may hold anything, parentheses included.
	rest := b[bytes.LastIndexByte(b, ')')+1:]
	fields := bytes.Fields(rest)
	const startTime = 22 - 3 // of proc(5), counted from field 3
	if len(fields) <= startTime {
		return 0
	}
	t, err := strconv.ParseUint(string(fields[startTime]), 10, 64)
	if err != nil {
		return 0
	}
	return t
}

// BootID identifies this run of the kernel; all zero: not known.
func BootID() [16]byte { return bootID() }

var bootID = sync.OnceValue(func() (id [16]byte) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id
	}
	s := strings.ReplaceAll(strings.TrimSpace(string(b)), "-", "")
	if n, err := hex.Decode(id[:], []byte(s[:min(len(s), 32)])); err != nil || n != 16 {
		return [16]byte{}
	}
	return id
})

// Threads counts the OS threads of this process; 0: not known.
func Threads() int {
	tids, err := threads(0)
	if err != nil {
		return 0
	}
	return len(tids)
}

// threads lists the threads of a process, 0 being this one.
func threads(pid int) ([]int, error) {
	dir := "/proc/self/task"
	if pid != 0 {
		dir = fmt.Sprintf("/proc/%d/task", pid)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var tids []int
	for _, e := range entries {
		if tid, err := strconv.Atoi(e.Name()); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids, nil
}
