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
// program begins. To start another program, use [shm.Pass] and [shm.Start].
//
// # Arguments
//
// A handle arrives as one: a queue, an end of a connection, a value, a lock, a
// segment. It is passed by descriptor and needs no name. An end of a connection
// moves, and cannot be used here any more; everything else is then used by both.
// Options of a handle that concern one process, like a codec, are the defaults
// in the child; who needs others passes the handle to [Process.Cmd] with shm.Pass
// and takes it with Inherited. All other arguments are data, and copied.
//
// The types have to be those of the parameters: an untyped 5 is an int, and is
// no int64.
//
// # The end of a child
//
// When the function returns, the handles that it was given are closed, so that
// its peers see an orderly leaving; what else it has opened it closes itself, or
// it dies with it. A lock that it holds then is left as by a death.
//
// What a child does at its end, Wait tells: the text of its error, or of a panic,
// with the stack, in any goroutine. A function that calls os.Exit, or log.Fatal,
// ends with that code and without an error's text; its deferred calls are not
// run, and its handles die. Code 0 is a good end also then.
//
// # Crashes
//
// A child that is killed, or that panics, is an [ExitError] in the parent, and a
// death to those who share memory with it. A child does not outlive its parent,
// unless it is detached: a goroutine of it kills the process when the parent's
// end of a pipe closes, which the kernel does whatever the parent dies of. A
// child that is stopped at that moment ends when it is continued. So all that
// descend from a process end with it that were started with this package, and
// not detached; to wait for them before it ends is the program's task.
//
// # Signals
//
// The terminal sends Ctrl-C to children too. A function with a context has it
// cancelled then, so that parents which end in order find their children doing
// the same, and one without is ended. A child in a process group of its own does
// not get it:
//
//	p := proc.New("square", in, out)
//	p.Cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
//	err := p.Start()
//
// A function that wants other signals calls package os/signal as usual.
//
// # Before Main
//
// What main does before it calls [Main] is done in every child. It has no
// command line: flag.Parse finds the defaults, and a program that demands flags
// ends. What the function needs of the flags are arguments; or Cmd.Args is given
// the parent's, and the flags are parsed in the function. A program that does not
// call Main at all runs its main in the child, where Start fails with
// [ErrNoMain], and so does the parent's Wait.
//
// # Coming from Python
//
//	Process(target=f, args=(q, c))  New("f", q, c), after Register("f", f)
//	p.start()                       p.Start(); both in one: proc.Start("f", q, c)
//	p.join(), p.join(timeout)       p.Wait(ctx)
//	p.is_alive(), p.pid             p.Alive(), p.Pid()
//	p.exitcode                      p.ExitCode(), the error of Wait; -1 and
//	                                ExitError.Signal for what is -SIGKILL there
//	p.sentinel                      p.Done(), a channel; in conn.Wait p itself
//	p.terminate(), p.kill()         p.Terminate(), p.Kill()
//	p.close()                       not needed
//	p.name                          p.Name(), which is that of the function
//	p.daemon = True                 the default, but children may have children
//	p.daemon = False                Wait before main returns
//	set_start_method                always "spawn"
//	if __name__ == "__main__":      proc.Main()
//	freeze_support()                proc.Main()
//	parent_process()                os.Getppid()
//
// # Platforms
//
// Linux, as package shm. Elsewhere everything compiles, and Start returns
// errors.ErrUnsupported.
package proc
