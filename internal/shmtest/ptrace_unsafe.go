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
	setRegSet      = 0x4205   // PTRACE_SETREGSET
	generalRegs    = 1        // NT_PRSTATUS
	tgkillCode     = -6       // SI_TKILL: a thread's signal, sent by tgkill
)

// breakpoint is the code of a breakpoint, after which the program counter stands
// breakpointMoves further.
var (
	breakpoint      = []byte{0xcc} // INT3
	breakpointMoves = uintptr(1)
)

func init() {
	if runtime.GOARCH == "arm64" {
		breakpoint, breakpointMoves = []byte{0, 0, 0x20, 0xd4}, 0 // BRK #0
	}
}

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

// registers are a thread's general registers, in the kernel's order.
type registers struct {
	words [64]uint64 // more than there are
	vec   syscall.Iovec
}

// get reads the registers of a stopped thread, set writes those that get read.
func (r *registers) get(tid int) error {
	r.vec.SetLen(int(unsafe.Sizeof(r.words)))
	return r.do(getRegSet, tid)
}

func (r *registers) set(tid int) error { return r.do(setRegSet, tid) }

func (r *registers) do(request uintptr, tid int) error {
	r.vec.Base = (*byte)(unsafe.Pointer(&r.words))
	_, _, e := syscall.Syscall6(syscall.SYS_PTRACE, request, uintptr(tid),
		generalRegs, uintptr(unsafe.Pointer(&r.vec)), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// pc returns the program counter among the registers.
func (r *registers) pc() *uint64 {
	if runtime.GOARCH == "arm64" {
		return &r.words[32]
	}
	return &r.words[16]
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
