package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-ipc/sluice/internal/hook"
)

// A Handle is something that lives in a segment and can be passed to a child
// process: a Segment itself, or an end of what is built on one.
type Handle interface {
	// Handover prepares the handle for another process. One that moves is
	// closed for use here, without leaving: its participant goes to the
	// child. It must refuse, and stay as it is, while calls are in progress
	// or memory is on loan.
	Handover() (Handover, error)
}

// An Inheritor is a Handle that a child can get in a uniform way, without knowing
// its type. Package shm/proc passes arguments with it.
type Inheritor interface {
	Handle

	// Inherit returns what the parent passed under that name, as a handle of
	// the receiver's type with default options. The receiver is not used, and
	// may be nil.
	Inherit(name string) (any, error)
}

// Inherit implements [Inheritor].
func (*Segment) Inherit(name string) (any, error) {
	s, _, err := Inherited(name, nil)
	return s, err
}

// Handover is what a Handle gives to Pass.
type Handover struct {
	Segment *Segment

	// Move hands this participant itself to the child: same ID, same lock,
	// and no moment in which it is nobody's. Otherwise the child joins as a
	// participant of its own.
	Move bool

	// Detail is given to the child as it is, by [Inherited].
	Detail string
}

// Handover implements [Handle]: the child joins as one more participant.
func (s *Segment) Handover() (Handover, error) {
	if err := s.Retain(); err != nil {
		return Handover{}, err
	}
	s.Release()
	return Handover{Segment: s}, nil
}

// envHandles tells a child what it was passed: entries separated by commas,
// each of the form of a URL query.
const envHandles = "SLUICE_HANDLES"

// passedFile marks the descriptors that Pass put into ExtraFiles, so that Start
// finds them and closes them.
const passedFile = "sluice-handle:"

// Pass arranges for the child that [Start] will start from cmd to find h under
// the name, with [Inherited]. It adds to cmd.ExtraFiles and cmd.Env, which must
// not be replaced afterwards.
//
// If h moves, it is closed here when Pass returns, error or not, unless its
// Handover refused. It then belongs to the child. If the child fails to start,
// or dies before it called Inherited, h has died with it, and the other
// participants see that as a death; if it is never started, when cmd.ExtraFiles
// are closed or collected.
//
// Start the program itself: a shell or another wrapper in between, which waits
// for it, inherits h as well, and h then lives until both are gone.
func Pass(cmd *exec.Cmd, name string, h Handle) error {
	if name == "" {
		return fmt.Errorf("shm: pass %q: %w", name, fs.ErrInvalid)
	}
	for e := range passed(cmd.Env) {
		if e.name == name {
			return fmt.Errorf("shm: pass %q: %w", name, fs.ErrExist)
		}
	}
	e, fd, err := handOver(name, h)
	if err != nil {
		return fmt.Errorf("shm: pass %q: %w", name, err)
	}
	e.fd = 3 + len(cmd.ExtraFiles)
	f := os.NewFile(uintptr(fd), passedFile+name)
	cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	cmd.Env = addEntry(cmd.Environ(), e)
	return nil
}

// handOver takes a handle out of this process, or opens another way to it for
// one that stays. The descriptor is the caller's.
func handOver(name string, h Handle) (e entry, fd int, err error) {
	if v := reflect.ValueOf(h); h == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return e, -1, fmt.Errorf("a handle that is nil, of type %T: %w", h, fs.ErrInvalid)
	}
	ho, err := h.Handover()
	if err != nil {
		return e, -1, err
	}
	e = entry{name: name, segment: ho.Segment.name, detail: ho.Detail,
		uuid: ho.Segment.head.uuid, fd: 3}
	if ho.Move {
		e.id = ho.Segment.id
		fd, err = ho.Segment.giveUp()
	} else {
		fd, err = ho.Segment.reopen()
	}
	return e, fd, err
}

// giveUp ends this attachment without leaving, and returns the descriptor that
// holds its lock. If somebody still uses the segment it is closed instead, and
// the error is ErrBusy.
func (s *Segment) giveUp() (fd int, err error) {
	s.pass.Lock()
	alone := s.pins.CompareAndSwap(onePin, pinClosed|pinDown)
	s.pass.Unlock()
	if !alone {
		if err = s.Retain(); err == nil {
			s.Release()
			err = fmt.Errorf("segment %s is still in use: %w", s.name, ErrBusy)
		}
		s.Close()
		return -1, err
	}
	s.unwatchAll()
	err = Guard(func() error {
		// From here on nobody watches this process for the slot; its lock
		// is tested by the tick, until the child says who it is.
		hook.At("shm.move.pid")
		p := &s.slots[s.id.Slot()]
		p.pid.Store(0)
		s.ctl.roster.Add(1) //sync:shm-roster release: a slot has changed
		return nil
	})
	fd, s.lockFD = s.lockFD, -1
	if err = errors.Join(err, s.discard()); err != nil {
		os.NewFile(uintptr(fd), s.name).Close()
		return -1, err
	}
	return fd, nil
}

// Start starts cmd and then closes this process's copies of what was passed to
// it, also when it could not be started. Without that, what moved would seem
// alive for as long as this process lives, even if the child dies.
func Start(cmd *exec.Cmd) error {
	err := cmd.Start()
	hook.At("shm.start.close")
	for _, f := range cmd.ExtraFiles {
		if f != nil && strings.HasPrefix(f.Name(), passedFile) {
			err2 := f.Close()
			if err == nil && !errors.Is(err2, os.ErrClosed) {
				err = err2
			}
		}
	}
	return err
}

// An entry is one passed handle, as the environment says it.
type entry struct {
	name    string
	fd      int
	id      ID // 0: the child joins anew
	uuid    [16]byte
	segment string // name of the segment, for errors
	detail  string
}

func (e entry) String() string {
	v := url.Values{}
	v.Set("name", e.name)
	v.Set("fd", strconv.Itoa(e.fd))
	v.Set("id", strconv.FormatUint(uint64(e.id), 10))
	v.Set("uuid", fmt.Sprintf("%x", e.uuid))
	v.Set("segment", e.segment)
	v.Set("detail", e.detail)
	return v.Encode()
}

// parseEntry is the inverse of String.
func parseEntry(s string) (e entry, err error) {
	v, err := url.ParseQuery(s)
	if err != nil {
		return e, err
	}
	id, err := strconv.ParseUint(v.Get("id"), 10, 64)
	if err != nil {
		return e, err
	}
	if e.fd, err = strconv.Atoi(v.Get("fd")); err != nil {
		return e, err
	}
	var uuid []byte
	if _, err := fmt.Sscanf(v.Get("uuid"), "%x", &uuid); err != nil {
		return e, err
	}
	if e.fd < 3 || copy(e.uuid[:], uuid) != len(e.uuid) {
		return e, fs.ErrInvalid
	}
	e.id = ID(id)
	e.name, e.segment, e.detail = v.Get("name"), v.Get("segment"), v.Get("detail")
	return e, nil
}

// passed yields the entries in an environment; those that cannot be read are
// left out.
func passed(env []string) func(yield func(entry) bool) {
	return func(yield func(entry) bool) {
		for _, kv := range env {
			list, ok := strings.CutPrefix(kv, envHandles+"=")
			if !ok {
				continue
			}
			for item := range strings.SplitSeq(list, ",") {
				if e, err := parseEntry(item); err == nil && !yield(e) {
					return
				}
			}
		}
	}
}

// addEntry returns env with one more entry.
func addEntry(env []string, e entry) []string {
	i := slices.IndexFunc(env, func(kv string) bool {
		return strings.HasPrefix(kv, envHandles+"=")
	})
	if i < 0 {
		return append(env, envHandles+"="+e.String())
	}
	env = slices.Clone(env)
	env[i] += "," + e.String()
	return env
}
