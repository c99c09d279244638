// Command http serves HTTP over shared memory, and starts itself as a child
// process that makes a request. All that is special is the listener and the
// dialer.
//
//	go run ./examples/http
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"

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
	http.HandleFunc("POST /upper", upper)
	go http.Serve(l.Streams(), nil)
	cmd := exec.Command(os.Args[0], "client", l.Addr())
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err = cmd.Run()
	l.Close() // removes the socket; log.Fatal runs nothing deferred
	check(err)
}

func upper(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil { // as when the client breaks off
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintln(w, strings.ToUpper(string(b)))
}

func client(addr string) {
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return conn.DialStream(ctx, addr, nil)
	}}}
	r, err := c.Post("http://anything/upper", "text/plain", strings.NewReader("hello"))
	check(err)
	defer r.Body.Close()
	_, err = io.Copy(os.Stdout, r.Body)
	check(err)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
