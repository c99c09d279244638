//go:build linux

package shm_test

import (
	"fmt"
	"log"

	"github.com/sluice-ipc/sluice/shm"
)

// Two attachments of a segment, which here are in one process, share its
// memory, and one sees when the other is gone.
func Example() {
	a, err := shm.Anonymous("example", &shm.Options{Size: 4096})
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()

	f, err := a.File() // this could go to another process, over a Unix socket
	if err != nil {
		log.Fatal(err)
	}
	b, err := shm.FromFile(f, nil)
	f.Close()
	if err != nil {
		log.Fatal(err)
	}
	copy(b.Data(), "hello")
	fmt.Printf("%s, gone: %t\n", a.Data()[:5], a.Gone(b.ID()))
	b.Close()
	fmt.Printf("%s, gone: %t\n", a.Data()[:5], a.Gone(b.ID()))
	// Output:
	// hello, gone: false
	// hello, gone: true
}
