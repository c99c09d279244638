//go:build linux && (amd64 || arm64)

package shmtest

import (
	"encoding/binary"
	"runtime"
	"syscall"
	"unsafe"
)

const (
	optionExitKill = 0x100000 // PTRACE_O_EXITKILL: the child dies with us
	getSigInfo     = 0x4202   // PTRACE_GETSIGINFO
	seize          = 0x4206   // PTRACE_SEIZE
	interrupt      = 0x4207   // PTRACE_INTERRUPT
	getRegSet      = 0x4204   // PTRACE_GETREGSET
	generalRegs    = 1        // NT_PRSTATUS
	tgkillCode     = -6       // SI_TKILL: a thread's signal, sent by tgkill
)

// programCounters are the places of the program counter among the registers
// that PTRACE_GETREGSET gives, in words of 8 bytes.
var programCounters = map[string]int{"amd64": 16, "arm64": 32}

// isSyscall reports whether the code at a place is a system call instruction.
func isSyscall(code [4]byte) bool {
	if runtime.GOARCH == "arm64" {
		return binary.LittleEndian.Uint32(code[:])&0xffe0001f == 0xd4000001 // SVC
	}
	return code[0] == 0x0f && code[1] == 0x05 // SYSCALL
}

// ptrace is the system call.
func ptrace(request uintptr, pid int, addr, data uintptr) error {
	_, _, e := syscall.Syscall6(
		syscall.SYS_PTRACE, request, uintptr(pid), addr, data, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// programCounter returns the address of the next instruction of a stopped
// thread.
func programCounter(tid int) (uintptr, error) {
	var regs [64]uint64
	vec := syscall.Iovec{Base: (*byte)(unsafe.Pointer(&regs))}
	vec.SetLen(int(unsafe.Sizeof(regs)))
	_, _, e := syscall.Syscall6(syscall.SYS_PTRACE, getRegSet, uintptr(tid),
		generalRegs, uintptr(unsafe.Pointer(&vec)), 0, 0)
	if e != 0 {
		return 0, e
	}
	return uintptr(regs[programCounters[runtime.GOARCH]]), nil
}

// raisedByThread reports whether the signal that a thread stopped with was sent
// by tgkill, as a mark is, and not from outside.
func raisedByThread(tid int) bool {
	var info [128]byte // number, errno, code, each an int32
	_, _, e := syscall.Syscall6(syscall.SYS_PTRACE, getSigInfo, uintptr(tid),
		0, uintptr(unsafe.Pointer(&info)), 0, 0)
	code := int32(binary.NativeEndian.Uint32(info[8:]))
	return e == 0 && code == tgkillCode
}
