package shmtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// FDs returns the open descriptors of this process, each with its number and
// what it leads to.
func FDs() []string {
	entries, _ := os.ReadDir("/proc/self/fd")
	var fds []string
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil { // the descriptor of the directory itself has gone
			fds = append(fds, e.Name()+" "+to)
		}
	}
	return fds
}

// Threads returns how many threads this process has.
func Threads() int {
	entries, _ := os.ReadDir("/proc/self/task")
	return len(entries)
}

// Mappings returns the lines of /proc/self/maps that show shared mappings.
func Mappings() []string {
	b, _ := os.ReadFile("/proc/self/maps")
	var maps []string
	for line := range strings.Lines(string(b)) {
		// ADDRESS PERMISSIONS OFFSET DEVICE INODE [NAME]
		f := strings.Fields(line)
		if len(f) > 1 && strings.HasSuffix(f[1], "s") {
			maps = append(maps, strings.TrimSpace(line))
		}
	}
	return maps
}

// ShmFiles returns the files in /dev/shm whose names begin with prefix.
func ShmFiles(prefix string) []string {
	all, _ := filepath.Glob("/dev/shm/*")
	var files []string
	for _, name := range all {
		if strings.HasPrefix(filepath.Base(name), prefix) {
			files = append(files, name)
		}
	}
	return files
}

// startPoller makes the runtime open the descriptors of its network poller now,
// so that they are there before and after.
func startPoller() {
	r, w, err := os.Pipe()
	if err != nil {
		panic(fmt.Sprintf("shmtest: %v", err))
	}
	r.Close()
	w.Close()
}
