// Command grpc serves gRPC over shared memory, and starts itself as a child
// process that makes a call. All that is special is the listener and the dialer.
// It is a module of its own, so that the library does not depend on gRPC.
//
//	cd examples/grpc && go run .
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/sluice-ipc/sluice/conn"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "client" {
		client(os.Args[2])
	} else {
		server()
	}
}

func server() {
	l, err := conn.Listen("", nil) // a socket in a new directory of this user's
	check(err)
	s := grpc.NewServer()
	s.RegisterService(&bytesService, method(func(_ context.Context, b []byte) ([]byte, error) {
		return []byte(strings.ToUpper(string(b))), nil
	}))
	go s.Serve(l.Streams())
	cmd := exec.Command(os.Args[0], "client", l.Addr())
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err = cmd.Run()
	s.Stop() // also the listener, which removes its socket; log.Fatal runs nothing deferred
	check(err)
}

func client(addr string) {
	c, err := dial(addr)
	check(err)
	defer c.Close()
	b, err := call(context.Background(), c, []byte("hello"))
	check(err)
	fmt.Println(string(b))
}

// dial makes a client of what listens at that address. Who the other side is, the
// kernel has said.
func dial(addr string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return conn.DialStream(ctx, addr, nil)
		}))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
