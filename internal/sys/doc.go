// Package sys is every system call that sluice makes, and the only package
// that imports golang.org/x/sys.
//
// It is built for Linux on amd64 and arm64 (Supported). Everywhere else it
// has the same names, and they return errors.ErrUnsupported.
//
// # Descriptors
//
// Descriptors are plain ints and belong to whoever opened them: nothing here
// puts a caller's descriptor into an *os.File, so no cleanup of the garbage
// collector can close one. That matters because the death of a process is
// told from a lock on such a descriptor: closing it by accident would declare
// the living dead. All are opened with O_CLOEXEC.
//
// # Capabilities
//
// Calls that a kernel, a sandbox or an emulator may lack are tried, never
// guessed from a version: futex_waitv (HaveWaitv), pidfd_open (PidfdOpen,
// WatchPid), membarrier, MFD_NOEXEC_SEAL, MADV_POPULATE_WRITE, O_TMPFILE. A
// call that is refused satisfies errors.Is(err, errors.ErrUnsupported), and
// the doc of each says what it falls back to, if to anything.
//
// # Errors
//
// Errors wrap the errno, so errors.Is works for syscall.ENOSPC, fs.ErrExist,
// fs.ErrNotExist and the like.
package sys
