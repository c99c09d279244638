// Package proc starts child processes on functions, with handles of shared
// memory as their arguments: what Process is to Python's multiprocessing.
//
//	func init() { proc.Register("square", square) }
//
//	func square(ctx context.Context, in, out *ring.Queue[int64]) error {
//		for v, err := range in.All(ctx) {
//			…
//
//	func main() {
//		proc.Main() // in a child, runs its function and exits
//		…
//		p, err := proc.Start("square", in, out)
//		…
//		err = p.Wait(ctx)
//
// The child is this program, started anew. Go cannot fork: nothing is inherited
// but what is passed, and what package variables and init functions do when the
// program begins.
//
// # Crashes
//
// A child that is killed, or that panics, is an [ExitError] in the parent, and a
// death to those who share memory with it. A child does not outlive its parent,
// unless it is detached: a goroutine of it kills the process when the parent's
// end of a pipe closes, which the kernel does whatever the parent dies of. A
// child that is stopped at that moment ends when it is continued.
package proc
