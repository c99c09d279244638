//go:build linux

package conn_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/race"
	"github.com/sluice-ipc/sluice/internal/shmtest"
)

func init() { roles["httpserver"] = httpServer }

// httpServer serves HTTP on a network, until it is killed.
func httpServer(args []string) int {
	var l net.Listener
	if args[0] == "sluice" {
		l = must(conn.Listen(args[1], &conn.ListenOptions{Handshakes: 2000})).Streams()
	} else {
		l = must(net.Listen(args[0], args[1]))
	}
	var inside atomic.Int64
	mux := http.NewServeMux()
	// The checksum of what comes, and as many bytes of noise.
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		got, n, err := sum(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Sum", fmt.Sprint(got))
		w.Header().Set("Content-Length", fmt.Sprint(n))
		io.Copy(w, noise(2, n))
	})
	// Some of an answer, and then nothing more.
	mux.HandleFunc("/stuck", func(w http.ResponseWriter, r *http.Request) {
		inside.Add(1)
		w.Write(make([]byte, 10_000))
		http.NewResponseController(w).Flush()
		select {}
	})
	// Nothing of the request is read.
	mux.HandleFunc("/deaf", func(http.ResponseWriter, *http.Request) { inside.Add(1); select {} })
	mux.HandleFunc("/inside", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, inside.Load())
	})
	shmtest.Say("ready")
	panic(http.Serve(l, mux))
}

// serveHTTP starts a server in a child, and makes a client of it.
func serveHTTP(t *testing.T, network string) (*shmtest.Child, *http.Client) {
	t.Helper()
	addr := t.TempDir() + "/socket"
	child := shmtest.Start(t, "httpserver", network, addr)
	child.Expect("ready")
	tr := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if network == "sluice" {
				return conn.DialStream(ctx, addr, &conn.DialOptions{Conn: conn.Options{Size: 256 << 10}})
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
		MaxIdleConnsPerHost: 2000,
	}
	t.Cleanup(tr.CloseIdleConnections)
	return child, &http.Client{Transport: tr}
}

// bodySizes are those of the requests, and of their answers.
var bodySizes = []int64{0, 1, 100, 4095, 4096, 64 << 10, 1<<20 + 7, 4 << 20}

// bodySums are the checksums of noise of these lengths, by its seed.
var bodySums = func() map[int64][3]uint32 {
	sums := map[int64][3]uint32{}
	for _, n := range bodySizes {
		var of [3]uint32
		for seed := range of {
			of[seed], _, _ = sum(noise(byte(seed), n))
		}
		sums[n] = of
	}
	return sums
}()

// exchange makes a request with a body of n bytes, and checks the answer.
func exchange(c *http.Client, n int64) error {
	r, err := c.Post("http://sluice/sum", "", noise(1, n))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	got, m, err := sum(r.Body)
	if err != nil {
		return err
	}
	want := bodySums[n]
	if there := r.Header.Get("Sum"); m != n || got != want[2] || there != fmt.Sprint(want[1]) {
		return fmt.Errorf("%d bytes came back as %d, checksums %d and %s, want %d",
			n, m, got, there, want[1:])
	}
	return nil
}

// together calls f n times at a time, and returns what failed and how long it
// took.
func together(n int, f func(i int) error) (time.Duration, error) {
	var all sync.WaitGroup
	errs := make([]error, n)
	start := time.Now()
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	return time.Since(start), errors.Join(errs...)
}

// An HTTP server and its clients do not notice what they run over: 1,000 requests
// at a time, with bodies of 0 B to 4 MiB, and many small ones over few
// connections. The same over Unix sockets, for comparison.
func TestHTTP(t *testing.T) {
	shmtest.NoLeaks(t)
	many, small := 1000, 20_000
	if testing.Short() || race.Enabled {
		many, small = 200, 2000
	}
	if os.Getenv("SLUICE_EMULATED") != "" {
		many, small = 40, 400
	}
	for _, network := range []string{"sluice", "unix"} {
		t.Run(network, func(t *testing.T) {
			child, c := serveHTTP(t, network)
			took, err := together(many, func(i int) error {
				return exchange(c, bodySizes[i%len(bodySizes)])
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %d requests at a time, of 0 B to 4 MiB: %.0f requests/s", network, many, float64(many)/took.Seconds())
			took, err = together(16, func(int) error {
				for range small / 16 {
					if err := exchange(c, 100); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: 16 clients, 100 B: %.0f requests/s", network, float64(small)/took.Seconds())
			child.Kill()
		})
	}
}

// A server that is killed in the middle of 100 requests leaves none of its
// clients waiting: each call fails.
func TestHTTPServerKilled(t *testing.T) {
	shmtest.NoLeaks(t)
	child, c := serveHTTP(t, "sluice")
	var failed [100]chan error
	for i := range failed {
		failed[i] = started(func() error {
			if i%2 == 0 {
				r, err := c.Get("http://sluice/stuck")
				if err == nil {
					_, err = io.Copy(io.Discard, r.Body)
					r.Body.Close()
				}
				return err
			}
			r, err := c.Post("http://sluice/deaf", "", bytes.NewReader(make([]byte, 4<<20)))
			if err == nil {
				r.Body.Close()
			}
			return err
		})
	}
	shmtest.Eventually(t, func() bool {
		r, err := c.Get("http://sluice/inside")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		n, _ := strconv.Atoi(string(must(io.ReadAll(r.Body))))
		return n == len(failed)
	}, "all requests have been begun")
	for i, f := range failed {
		select {
		case err := <-f:
			t.Fatalf("request %d is over before the server: %v", i, err)
		default:
		}
	}
	start := time.Now()
	child.Kill()
	for i, f := range failed {
		if err := <-f; err == nil {
			t.Errorf("request %d has an answer", i)
		}
	}
	t.Logf("the last of %d calls failed %v after the kill", len(failed), time.Since(start))
	if _, err := c.Get("http://sluice/inside"); err == nil {
		t.Error("somebody answers for the dead")
	}
}
