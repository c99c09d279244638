//go:build linux && (amd64 || arm64)

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/sluice-ipc/sluice/conn"
)

// The test binary is the example when it is told to be, or a server for tests.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && (os.Args[1] == "server" || os.Args[1] == "client"):
		main()
	case len(os.Args) == 4 && os.Args[1] == "serve":
		serve(os.Args[2], os.Args[3])
	default:
		os.Exit(m.Run())
	}
}

func TestServes(t *testing.T) {
	cmd := exec.Command(os.Args[0], "server")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != "HELLO\n" {
		t.Errorf("it printed %q", out)
	}
}

const maxBody = 5 << 20

// serve answers with the bytes reversed, or not at all, until it is killed.
func serve(network, addr string) {
	var l net.Listener
	if network == "sluice" {
		sl, err := conn.Listen(addr, nil)
		check(err)
		l = sl.Streams()
	} else {
		ul, err := net.Listen(network, addr)
		check(err)
		l = ul
	}
	s := grpc.NewServer(grpc.MaxRecvMsgSize(maxBody), grpc.MaxConcurrentStreams(1000))
	begun := 0
	var mu sync.Mutex
	s.RegisterService(&bytesService, method(func(ctx context.Context, b []byte) ([]byte, error) {
		if string(b) == "hang" {
			mu.Lock()
			begun++
			fmt.Println("begun", begun)
			mu.Unlock()
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return reversed(b), nil
	}))
	fmt.Println("ready")
	check(s.Serve(l))
}

func reversed(b []byte) []byte {
	r := make([]byte, len(b))
	for i, c := range b {
		r[len(b)-1-i] = c
	}
	return r
}

// start starts a server in a child and connects to it n times.
func start(t *testing.T, network string, n int) (cmd *exec.Cmd, said *bufio.Scanner, cs []*grpc.ClientConn) {
	t.Helper()
	addr := filepath.Join(t.TempDir(), "socket")
	cmd = exec.Command(os.Args[0], "serve", network, addr)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if said = bufio.NewScanner(out); !said.Scan() {
		t.Fatal("the server does not come up")
	}
	for range n {
		c, err := dial(addr)
		if network == "unix" {
			c, err = grpc.NewClient("unix:"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		cs = append(cs, c)
	}
	return cmd, said, cs
}

// together calls f n times at a time.
func together(n int, f func(i int) error) (time.Duration, error) {
	var all sync.WaitGroup
	errs := make([]error, n)
	begun := time.Now()
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	return time.Since(begun), errors.Join(errs...)
}

var bodySizes = []int{0, 1, 100, 4095, 4096, 64 << 10, 1<<20 + 7, 4 << 20}

// Calls do not notice what they run over: 1,000 at a time over 8 connections,
// with bodies of 0 B to 4 MiB, and many small ones. The same over Unix sockets,
// for comparison.
func TestCalls(t *testing.T) {
	many, small := 1000, 10_000
	if testing.Short() {
		many, small = 200, 1000
	}
	all := make([]byte, bodySizes[len(bodySizes)-1])
	rand.NewChaCha8([32]byte{}).Read(all)
	sums := map[int]uint32{}
	for _, n := range bodySizes {
		sums[n] = crc32.ChecksumIEEE(reversed(all[:n]))
	}
	do := func(c *grpc.ClientConn, n int) error {
		b, err := call(context.Background(), c, all[:n], grpc.MaxCallRecvMsgSize(maxBody))
		if err == nil && (len(b) != n || crc32.ChecksumIEEE(b) != sums[n]) {
			err = fmt.Errorf("%d bytes came back as %d, or as others", n, len(b))
		}
		return err
	}
	for _, network := range []string{"sluice", "unix"} {
		t.Run(network, func(t *testing.T) {
			_, _, cs := start(t, network, 8)
			took, err := together(many, func(i int) error {
				return do(cs[i/len(bodySizes)%len(cs)], bodySizes[i%len(bodySizes)])
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %d calls at a time, of 0 B to 4 MiB: %.0f calls/s", network, many, float64(many)/took.Seconds())
			took, err = together(16, func(i int) error {
				for range small / 16 {
					if err := do(cs[i%len(cs)], 100); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: 16 clients, 100 B: %.0f calls/s", network, float64(small)/took.Seconds())
		})
	}
}

// A server that is killed in the middle of 100 calls leaves none of its clients
// waiting: each call fails.
func TestServerKilled(t *testing.T) {
	cmd, said, cs := start(t, "sluice", 4)
	var failed [100]chan error
	for i := range failed {
		failed[i] = make(chan error, 1)
		go func() {
			_, err := call(context.Background(), cs[i%len(cs)], []byte("hang"))
			failed[i] <- err
		}()
	}
	last := fmt.Sprint("begun ", len(failed))
	for said.Text() != last {
		if !said.Scan() {
			t.Fatalf("the server ends before it says %q: %v", last, said.Err())
		}
	}
	begun := time.Now()
	cmd.Process.Kill()
	for i, f := range failed {
		if err := <-f; err == nil {
			t.Errorf("call %d has an answer", i)
		}
	}
	t.Logf("the last of %d calls failed %v after the kill", len(failed), time.Since(begun))
}
