package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/klauspost/cpuid/v2"

	"github.com/sluice-ipc/sluice/internal/cpu"
)

// machine names what the figures were measured on, in a few words each. What
// cannot be read is left out.
func machine(at place) []string {
	words := []string{processor(), system()}
	if at.cpus == nil {
		words = append(words, fmt.Sprintf("%d CPU, processes not pinned", runtime.NumCPU()))
	} else {
		words = append(words, fmt.Sprintf("%d CPUs, processes on %d and %d",
			runtime.NumCPU(), at.cpus[0], at.cpus[1]))
	}
	governor := "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
	if g := readLine(governor); g != "" {
		words = append(words, "governor "+g)
	}
	return append(words, fmt.Sprintf("%s, GOMAXPROCS %d here, 1 in a pinned process",
		runtime.Version(), runtime.GOMAXPROCS(0)))
}

// processor is the CPU's name, its caches, and whether it is a virtual one.
func processor() string {
	text := cpu.Describe().Brand
	c := cpuid.CPU.Cache
	if c.L2 > 0 && c.L3 > 0 {
		text += fmt.Sprintf(", L2 %s, L3 %s", size(c.L2), size(c.L3))
	}
	if cpuid.CPU.VM() {
		text += ", virtual"
	}
	return text
}

// system is the operating system with its release.
func system() string {
	text := runtime.GOOS + "/" + runtime.GOARCH
	if release := readLine("/proc/sys/kernel/osrelease"); release != "" {
		text += " " + release
	}
	return text
}

// readLine returns the first line of a file, or nothing.
func readLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line)
}
