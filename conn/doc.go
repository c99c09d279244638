// Package conn connects two processes through shared memory: what Pipe and
// Connection are to Python's multiprocessing.
//
// [Pipe] gives two ends, each a [Conn] that sends and receives messages.
// [SimplexPipe] gives a [RecvConn] and a [SendConn]. One end is usually moved
// to a child process, with [shm.Pass] there and [Inherited] here:
//
//	parent, child, err := conn.Pipe(nil)
//	cmd := exec.Command(os.Args[0], "worker")
//	err = shm.Pass(cmd, "jobs", child)
//	err = shm.Start(cmd)
//	v, err := parent.Recv(ctx)               // []any{int64(42), nil, "hello"}
//
//	c, err := conn.Inherited("jobs", nil)    // in the child
//	err = c.Send(ctx, []any{42, nil, "hello"})
//
// There are three ways to send and to receive, which may be mixed on one end:
//
//	objects      Send, Recv, RecvTo             through a Codec, CBOR by default
//	bytes        SendBytes, RecvBytes, …        one copy on each side
//	in place     Reserve/Commit, Peek/Release   no copy
//
// One send is one receive: messages are never merged or split, and may be
// empty. What blocks takes a context; what begins with Try never blocks. A
// context that is already done gets one attempt.
//
// # Strangers
//
// Processes that are not parent and child meet at a Unix socket: [Listen] takes
// an address, a path or "@name", and [Dial] one of the same:
//
//	l, err := conn.Listen("/run/user/1000/jobs", &conn.ListenOptions{Key: key})
//	c, err := l.Accept(ctx)
//
//	c, err := conn.Dial(ctx, "/run/user/1000/jobs", &conn.DialOptions{Key: key})
//
// Handshakes are made beside Accept, which returns connections that are complete.
// Those that fail hold up nobody; ListenOptions.Failed hears of them. Who may
// connect is decided by the permissions of the socket's file, by
// [ListenOptions].Allow, which is told the process, user and group as the kernel
// knows them, and by a key, if there is one, which both sides prove that they
// have and neither sends. A process in between that both take for the other can
// pass the proofs on: the key does not replace permissions.
//
// The socket stays, and carries the news of the other's end, and descriptors:
// [Conn.SendFile], and [Conn.SendHandle] for queues, locks, values and the ends of
// other connections. The dialer's memory is what the two share; a connection
// takes two descriptors in each process.
//
// # Concurrency
//
// An end may be used by any number of goroutines; one at a time is inside each
// direction, and a memory loan (Reserve to Commit, Peek to Release) counts as
// being inside. The two directions are independent. An end belongs to one
// process at a time.
//
// # Ordering
//
// Messages of one direction arrive in the order in which they were sent. What
// the sender did before sending is visible to who receives. Nothing orders one
// direction after the other but the two programs.
//
// # The end of a connection
//
// When the other end is closed, or its process has died, receiving goes on
// until the last message has been received, and returns io.EOF from then on, for
// ever. Sending returns [ErrBrokenPipe] every time, and never raises a signal.
// Messages that the other end had not received are lost; the sender is not
// told. It does not matter how many other handles exist: the end that was moved
// to a child lives and dies with the child.
//
// Closing an end wakes the goroutines of this process that are blocked on it,
// with [ErrClosed]. An end that the garbage collector finds unreachable is
// closed, which is a safety net for bugs and not a way to close: until then the
// other end waits.
//
// # Crashes
//
// A process that dies at any instruction leaves each message whole or not there
// at all; what it had sent is received. A message above half the ring's size
// travels in pieces; when its sender dies in the middle of it, the receiver gets
// [ErrMessageLost] before io.EOF. A process that is stopped (SIGSTOP, a
// debugger) is not dead: the other end waits.
//
// Whoever is blocked notices a death within a millisecond or so, or within some
// 50 ms where the system has no pidfd; so does who polls with the Try forms. A
// process that only sends, into a ring that still has room, notices when the
// ring is full.
//
// # Trust
//
// The other process can send wrong data, corrupt what is in flight in both
// directions, and stop sending; it cannot make this process panic, read or
// write outside of the pipe's memory, or allocate for what it did not send; the
// objects that CBOR makes of a message can be some forty times its size, which
// [Options] bounds with MaxMessage.
// Objects are data only: decoding runs no code but UnmarshalCBOR and similar
// methods of types that the receiver itself names. Objects are copied out of
// the shared memory before they are decoded. Bytes from Peek are not: they can
// change while they are looked at.
//
// A stranger can besides be mute, say anything, and send any descriptor: its
// handshake is refused, with a reason, after ListenOptions.HandshakeTimeout at the
// latest. It can bring memory only of a fixed size, at most
// ListenOptions.MaxSize. Before it is let in it costs a goroutine and a descriptor
// or two, and of those that one process has too many of, the oldest goes. Closing a
// file that it sent takes as long as that file's system wants, which somebody who
// can mount one of his own (FUSE) may stretch; nobody who is blocked on the connection
// waits for that.
//
// # Streams
//
// A [Stream] makes a net.Conn of a connection, with deadlines, half-closes and
// addresses, and [Listener.Streams] a net.Listener of a listener, so that a
// program moves onto shared memory by changing its listener and its dialer:
//
//	l, err := conn.Listen(path, nil)         // was net.Listen("unix", path)
//	err = http.Serve(l.Streams(), handler)
//
//	c, err := conn.DialStream(ctx, path, nil) // was net.Dial("unix", path)
//
// A Write is seen at once, and only by who reads: there is no buffer to flush, and
// what was written is read although the writer has closed or died since. A Write
// of more than 64 KiB, or a sixth of Options.Size, travels piece by piece, and a
// Write that fails says how much was sent. Read and Write that do not block
// allocate nothing. ReadFrom reads files and net.Buffers straight into the shared
// memory; net.Buffers.WriteTo is a Write for each buffer.
//
// What a stream is good at is few connections with much traffic. Each costs its
// rings' memory, twice Options.Size, to set up; and goroutines that wait for shared
// memory cost more than those that wait for sockets, which Go's runtime polls itself:
// a server of very many small requests on many connections is faster over sockets.
//
// A death looks like a close, as it does with sockets: io.EOF to who reads, and
// EPIPE to who writes. A protocol that must tell them apart says how long it is.
//
// # Deadlock
//
// As with any bounded channel, two processes that both send more than the ring
// holds before either receives wait for each other for ever, or until their
// contexts end. [Options] sets the ring's size.
//
// # Platforms
//
// Linux on amd64 and arm64; elsewhere Pipe returns errors.ErrUnsupported.
package conn
