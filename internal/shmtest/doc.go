// Package shmtest is what the tests of shared memory stand on: child processes
// that are the test binary itself, waiting under a watchdog, checks that nothing
// is left behind, the same memory in several shapes, and single-stepping of a
// child so that it can be killed at every machine instruction. Only tests import
// it.
//
// # Children
//
// A package that needs children hands its roles to [Main] in TestMain, and
// starts one with [Start] or [Command]. Parent and child talk in lines:
//
//	func TestMain(m *testing.M) {
//		shmtest.Main(m, map[string]shmtest.Role{"writer": writer})
//	}
//
//	func writer(args []string) int {
//		w := attach(args[0])
//		shmtest.Say("ready")
//		for {
//			msg, ok := shmtest.Hear() // false: the parent has gone
//			if !ok {
//				return 0
//			}
//			w.Write([]byte(msg))
//		}
//	}
//
//	func TestWriterDies(t *testing.T) {
//		c := shmtest.Start(t, "writer", name)
//		c.Expect("ready")
//		c.Send("hello")
//		c.Kill()
//		shmtest.Eventually(t, func() bool { return r.PeerGone() })
//	}
//
// # Every instruction
//
// [EveryPoint] runs its body once for each machine instruction of an operation.
// The child marks the operation with [Trace]; the body sets up fresh memory,
// lets the child come to the point and die there ([Point.Kill]) or stand still
// ([Point.Stop]), and looks at what it left:
//
//	func pusher(args []string) int {
//		q := attach(args[0])
//		shmtest.Trace(func() { q.Push(7) })
//		return 0
//	}
//
//	shmtest.EveryPoint(t, "push", func(t testing.TB, p *shmtest.Point) {
//		q := create(t)
//		p.Kill(shmtest.Command(t, "pusher", q.Name()))
//		// q holds 7 or nothing, and works.
//	})
//
// # Waiting
//
// Nothing here bounds how long an operation may take, and nothing sleeps to put
// events in order. What waits, waits for a condition; [Watchdog] only turns a
// hang into a failure that says where everybody stood.
package shmtest
