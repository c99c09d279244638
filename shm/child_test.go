//go:build linux

package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/internal/sys"
)

func init() {
	roles["heir"] = heir
	roles["late heir"] = lateHeir
}

// An end is a handle that moves.
type end struct {
	s      *Segment
	detail string
}

func (e end) Handover() (Handover, error) {
	return Handover{Segment: e.s, Move: true, Detail: e.detail}, nil
}

// heir takes what it was passed under the names of its arguments, says what it
// got, and stays until the parent says bye.
func heir(args []string) int {
	if os.Getenv(envHandles) != "" {
		return complain("the environment still has %s", envHandles)
	}
	for _, name := range args {
		s, detail, err := Inherited(name, nil)
		if err != nil {
			shmtest.Say("error %v", err)
			continue
		}
		if _, _, err := Inherited(name, nil); !errors.Is(err, ErrNotFound) || !errors.Is(err, fs.ErrNotExist) {
			return complain("a second time: %v", err)
		}
		s.Data()[0]++
		shmtest.Say("%d", uint64(s.ID()))
		shmtest.Say("%q %q", detail, s.Name())
		defer s.Close()
	}
	// Neither the descriptors nor the news are for children of ours.
	out, err := exec.Command("ls", "-l", "/proc/self/fd").CombinedOutput()
	if err != nil || strings.Contains(string(out), "memfd:") || strings.Contains(string(out), "sluice") {
		return complain("a child of the child has: %s %v", out, err)
	}
	shmtest.Say("ok")
	shmtest.Hear()
	return 0
}

// lateHeir tells that it lives before it takes anything.
func lateHeir(args []string) int {
	shmtest.Say("born")
	shmtest.Hear()
	return heir(args)
}

// passing prepares a child that is started with Start.
func passing(t testing.TB, role string, names ...string) *shmtest.Child {
	c := shmtest.Command(t, role, names...)
	c.Launch = Start
	return c
}

func pass(t testing.TB, c *shmtest.Child, name string, h Handle) {
	t.Helper()
	if err := Pass(c.Cmd, name, h); err != nil {
		t.Fatal(err)
	}
}

func TestPassToAChild(t *testing.T) {
	noLeaks(t)
	named := closing(t, must(Create(testName(t), &Options{Size: 1}))(t))
	anon := closing(t, must(Anonymous("an,on=1", &Options{Size: 1}))(t))
	c := passing(t, "heir", "first", "the second, a=b&c")
	pass(t, c, "first", anon)
	pass(t, c, "the second, a=b&c", named)
	if err := Pass(c.Cmd, "first", anon); !errors.Is(err, fs.ErrExist) {
		t.Errorf("passed twice: %v", err)
	}
	if err := Pass(c.Cmd, "", anon); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("passed without a name: %v", err)
	}
	c.Start()
	for _, s := range []*Segment{anon, named} {
		id := hearID(t, c)
		c.Expect(fmt.Sprintf(`"" %q`, s.Name()))
		if id == s.ID() || id == 0 {
			t.Errorf("the child is %v, as we are", id)
		}
		if s.Data()[0] != 1 {
			t.Error("the child has other memory")
		}
	}
	c.Expect("ok")
	c.Exit()
	if p := anon.Participants(); len(p) != 1 {
		t.Errorf("participants: %+v", p)
	}
}

// stillIn checks that nobody takes a participant for dead.
func stillIn(t testing.TB, s *Segment, r *recorder, id ID, when string) {
	t.Helper()
	s.look(true)
	if s.Gone(id) || len(r.dead) > 0 {
		t.Fatalf("%s the moved end is gone; repaired %v", when, r.dead)
	}
}

func TestMoveToAChild(t *testing.T) {
	noLeaks(t)
	r := &recorder{}
	s := closing(t, must(Anonymous("moved", r.options()))(t))
	e := must(openFileOf(s))(t)
	id := e.ID()
	asleep(t, s)
	c := passing(t, "late heir", "end")
	pass(t, c, "end", end{e, "which=reader"})
	if err := e.Retain(); !errors.Is(err, ErrClosed) {
		t.Errorf("the moved end is still usable: %v", err)
	}
	live := func(when string) { t.Helper(); stillIn(t, s, r, id, when) }
	live("before the start")
	if p := s.Participants(); len(p) != 2 || p[1].PID != 0 {
		t.Errorf("on its way it is %+v", p)
	}
	c.Start()
	live("after the start")
	c.Expect("born")
	live("before the child adopts it")
	c.Send("go on")
	if got := hearID(t, c); got != id {
		t.Errorf("the child is %v, want %v", got, id)
	}
	c.Expect(`"which=reader" "memfd:moved"`)
	c.Expect("ok")
	live("in the child")
	if p := s.Participants(); len(p) != 2 || p[1].PID != c.Pid() {
		t.Errorf("participants: %+v", p)
	}
	c.Exit()
	if !s.Gone(id) || len(r.dead) > 0 {
		t.Errorf("after the child has left; repaired %v", r.dead)
	}
}

// The child may die at any time: before it came to life, before it took what
// was passed, or with it. Each is seen as the end's death.
func TestChildOfAMoveDies(t *testing.T) {
	for _, when := range []string{"before the exec", "before it adopts", "afterwards", "without a start"} {
		t.Run(when, func(t *testing.T) {
			noLeaks(t)
			r := &recorder{}
			s := closing(t, must(Anonymous("moved", r.options()))(t))
			e := must(openFileOf(s))(t)
			asleep(t, s)
			c := passing(t, "late heir", "end")
			pass(t, c, "end", end{s: e})
			switch when {
			case "before the exec":
				c.Cmd.Path = "/nonexistent/program"
				if err := Start(c.Cmd); err == nil {
					t.Fatal("it starts")
				}
			case "before it adopts":
				c.Start()
				c.Expect("born")
				c.Kill()
			case "afterwards":
				c.Start()
				c.Expect("born")
				c.Send("go on")
				hearID(t, c)
				c.Kill()
			case "without a start":
				c.Cmd.ExtraFiles[0].Close()
			}
			shmtest.Eventually(t, func() bool {
				_, ok := r.repaired(e.ID())
				return ok && s.Gone(e.ID()) && len(s.Participants()) == 1
			}, "the end's death is repaired, and its place free")
		})
	}
}

func TestMoveOfAnEndInUse(t *testing.T) {
	noLeaks(t)
	s := closing(t, must(Anonymous("moved", &Options{Size: 1}))(t))
	e := must(openFileOf(s))(t)
	if err := e.Retain(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("true")
	if err := Pass(cmd, "end", end{s: e}); !errors.Is(err, ErrBusy) {
		t.Errorf("passing it: %v, want ErrBusy", err)
	}
	if len(cmd.ExtraFiles) != 0 || s.Gone(e.ID()) {
		t.Error("it was passed, or its memory pulled from under a call")
	}
	e.Release()
	if !s.Gone(e.ID()) {
		t.Error("it was not closed")
	}
	if err := Pass(cmd, "end", end{s: e}); !errors.Is(err, ErrClosed) {
		t.Errorf("passing a closed one: %v", err)
	}
	if err := Pass(cmd, "end", e); !errors.Is(err, ErrClosed) {
		t.Errorf("sharing a closed one: %v", err)
	}
}

func TestInheritedChecksWhatItGets(t *testing.T) {
	noLeaks(t)
	s := closing(t, must(Anonymous("checked", &Options{Size: 1, Kind: KindPipe}))(t))
	other := closing(t, must(Anonymous("other", &Options{Size: 1}))(t))
	file := must(other.File())(t)
	defer file.Close()
	plain := must(os.CreateTemp(t.TempDir(), ""))(t)
	defer plain.Close()

	good := entry{name: "x", fd: int(file.Fd()), uuid: other.UUID(), segment: "seg"}
	attach := func(change func(e *entry)) error {
		e := good
		change(&e)
		_, err := e.attach(&Options{Kind: KindRaw})
		return err
	}
	checkEntries(t, attach, s, other, plain)
	if other.Err() != nil || len(other.Participants()) != 1 {
		t.Errorf("the segment has suffered: %v, %+v", other.Err(), other.Participants())
	}
	if _, _, err := Inherited("x", nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("Inherited of nothing: %v", err)
	}
}

// checkEntries attaches with entries that are each wrong in one way.
func checkEntries(t *testing.T, attach func(func(*entry)) error, s, other *Segment, plain *os.File) {
	var f *FormatError
	if err := attach(func(e *entry) { e.uuid = s.UUID() }); !errors.As(err, &f) || f.Field != "uuid" {
		t.Errorf("another segment's descriptor: %v", err)
	}
	if err := attach(func(e *entry) { e.fd = int(plain.Fd()) }); !errors.As(err, &f) {
		t.Errorf("another file's descriptor: %v", err)
	}
	if err := attach(func(e *entry) { e.id = makeID(9999, 1) }); !errors.As(err, &f) || f.Field != "slot" {
		t.Errorf("a slot that is not there: %v", err)
	}
	if err := attach(func(e *entry) { e.id = makeID(1, 1) }); !errors.Is(err, ErrLost) {
		t.Errorf("a participant that has no lock: %v", err)
	}
	other.slots[2].word.Store(wordOf(Active, 5)) // somebody who is dead
	if err := attach(func(e *entry) { e.id = makeID(2, 5) }); !errors.Is(err, ErrLost) {
		t.Errorf("a participant whose lock is free: %v", err)
	}
	other.CheckPeers()
	if err := attach(func(e *entry) { e.id = other.ID() }); !errors.Is(err, ErrBusy) {
		t.Errorf("a participant that was not moved: %v", err)
	}
}

func TestEntriesSurviveTheEnvironment(t *testing.T) {
	want := []entry{
		{name: "a", fd: 3, uuid: [16]byte{1, 0xff}, segment: "memfd:x", detail: "x=1,y;\n\x00"},
		{name: "ü,=&", fd: 4, id: makeID(511, 1<<32-1), segment: "/a b/c", detail: ""},
	}
	env := []string{"A=b", "C=d"}
	for _, e := range want {
		env = addEntry(env, e)
	}
	var got []entry
	for e := range passed(env) {
		got = append(got, e)
	}
	if len(env) != 3 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q gives %+v, want %+v", env, got, want)
	}
	for _, bad := range []string{"", ",", "a", "fd=3", "fd=x&id=1", "%zz", "fd=0&id=1&uuid=00",
		"fd=3&id=1&uuid=00", "fd=-1&id=0&uuid=" + strings.Repeat("0", 32)} {
		for e := range passed([]string{envHandles + "=" + bad}) {
			t.Errorf("%q gives %+v", bad, e)
		}
	}
}

// Many forks go on while ends move and segments close: no copy of a lock may
// survive in a child that has nothing to do with it.
func TestForksDoNotKeepLocks(t *testing.T) {
	noLeaks(t)
	s := closing(t, must(Anonymous("forks", &Options{Size: 1}))(t))
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				exec.Command("true").Run()
			}
		}
	}()
	for range 100 {
		o := must(openFileOf(s))(t)
		i := o.ID().Slot()
		o.Close()
		if locked := must(sys.LockedOFD(s.lockFD, lockOf(i), 1))(t); locked {
			t.Errorf("slot %d is still locked after Close", i)
		}
	}
	close(stop)
	<-done
}

func TestNamedSegmentOfADeadCreatorIsReplaced(t *testing.T) {
	noLeaks(t)
	name := testName(t)
	s := must(Create(name, &Options{Size: 1}))(t)
	c, _ := startMember(t, s)
	s.Close()
	if _, err := Create(name, &Options{Size: 1}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over one with a live member: %v", err)
	}
	c.Stop()
	if _, err := Create(name, &Options{Size: 1}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over one with a stopped member: %v", err)
	}
	c.Kill()
	s = closing(t, must(Create(name, &Options{Size: 1}))(t))
	if p := s.Participants(); len(p) != 1 {
		t.Errorf("participants: %+v", p)
	}
	if _, err := os.Stat(filepath.Join(shmDir, prefix+name)); err != nil {
		t.Error(err)
	}
}
