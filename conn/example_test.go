//go:build linux

package conn_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/shm"
)

// exampleChild is the main function of the child process.
func exampleChild() {
	c, err := conn.Inherited("child_conn", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.Send(context.Background(), []any{42, nil, "hello"}); err != nil {
		log.Fatal(err)
	}
}

// One end goes to a child process, which sends an object through it.
func Example() {
	parent, child, err := conn.Pipe(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer parent.Close()

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "EXAMPLE_CHILD=1")
	if err := shm.Pass(cmd, "child_conn", child); err != nil {
		log.Fatal(err)
	}
	if err := shm.Start(cmd); err != nil {
		log.Fatal(err)
	}

	v, err := parent.Recv(context.Background())
	fmt.Println(v, err)
	_, err = parent.Recv(context.Background())
	fmt.Println(err)
	fmt.Println(cmd.Wait())
	// Output:
	// [42 <nil> hello] <nil>
	// EOF
	// <nil>
}

// A connection ends when its sender closes it; no word like "STOP" is needed.
func ExampleSimplexPipe() {
	ctx := context.Background()
	r, w, err := conn.SimplexPipe(nil)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		defer w.Close()
		for _, greet := range []string{"Hello", "Hola", "Guten Tag"} {
			if err := w.Send(ctx, greet); err != nil {
				log.Print(err)
				return
			}
		}
	}()
	for greet, err := range r.All(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(greet)
	}
	r.Close()
	// Output:
	// Hello
	// Hola
	// Guten Tag
}

// The ways to send and to receive can be mixed.
func ExamplePipe() {
	ctx := context.Background()
	a, b, err := conn.Pipe(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	defer b.Close()

	a.Send(ctx, []any{1, "hello", nil})
	v, err := b.Recv(ctx)
	fmt.Println(v, err)

	b.SendBytes(ctx, []byte("thank you"))
	msg, err := a.RecvBytes(ctx)
	fmt.Printf("%s %v\n", msg, err)

	conn.SendSlice(ctx, a, []int32{0, 1, 2, 3, 4})
	arr2 := make([]int32, 10)
	n, err := conn.RecvSliceInto(ctx, b, arr2)
	fmt.Println(n, arr2, err)
	// Output:
	// [1 hello <nil>] <nil>
	// thank you <nil>
	// 5 [0 1 2 3 4 0 0 0 0 0] <nil>
}

// Messages are written and read where they lie in shared memory.
func ExampleConn_inPlace() {
	ctx := context.Background()
	a, b, err := conn.Pipe(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	defer b.Close()

	buf, err := a.Reserve(ctx, 100)
	if err != nil {
		log.Fatal(err)
	}
	n := copy(buf, "written in place")
	a.Commit(n)

	msg, err := b.Peek(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", msg)
	b.Release()

	a.Close()
	_, err = b.Peek(ctx)
	fmt.Println(err == io.EOF)
	// Output:
	// written in place
	// true
}

type order struct {
	Symbol string
	Amount int
}

// RecvAs receives an object as a type of the program's own.
func ExampleRecvAs() {
	ctx := context.Background()
	a, b, err := conn.Pipe(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	defer b.Close()

	a.Send(ctx, order{"EURUSD", 100})
	o, err := conn.RecvAs[order](ctx, b)
	fmt.Printf("%+v %v\n", o, err)
	// Output:
	// {Symbol:EURUSD Amount:100} <nil>
}

// Two that know nothing of each other but an address.
func ExampleListen() {
	ctx := context.Background()
	l, _ := conn.Listen("", nil)
	defer l.Close()
	go func() {
		c, _ := conn.Dial(ctx, l.Addr(), nil)
		c.Send(ctx, "hello")
		c.Close()
	}()
	c, _ := l.Accept(ctx)
	defer c.Close()
	fmt.Println(c.Recv(ctx))
	fmt.Println(c.Recv(ctx))
	// Output:
	// hello <nil>
	// <nil> EOF
}
