//go:build linux

package lock_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/sluice-ipc/sluice/shm"
	"github.com/sluice-ipc/sluice/shm/lock"
)

// A mutex protects something that its owner may leave half changed. Here the
// second handle is in the same process; it could be anywhere.
func ExampleMutex() {
	m, err := lock.Anonymous[lock.Mutex]("accounts", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	f, err := m.Segment().File()
	if err != nil {
		log.Fatal(err)
	}
	other, err := lock.FromFile[lock.Mutex](f, nil)
	f.Close()
	if err != nil {
		log.Fatal(err)
	}
	defer other.Close()

	ctx := context.Background()
	err = m.Lock(ctx)
	if errors.Is(err, lock.ErrOwnerDied) {
		fmt.Println("somebody died; repair, and then:")
		err = m.MarkConsistent()
	}
	if err != nil {
		log.Fatal(err)
	}
	ok, err := other.TryLock()
	fmt.Println("the other has it:", ok, err)
	fmt.Println(errors.Is(other.Unlock(), lock.ErrNotOwner))
	m.Unlock()
	ok, err = other.TryLock()
	fmt.Println("the other has it:", ok, err)
	other.Unlock()
	// Output:
	// the other has it: false <nil>
	// true
	// the other has it: true <nil>
}

// A function that locks may call another that does, with the same token.
func ExampleMutex_Owner() {
	m, err := lock.Anonymous[lock.Mutex]("tree", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	var visit func(o *lock.Owner, n int) error
	visit = func(o *lock.Owner, n int) error {
		if err := o.Lock(context.Background()); err != nil {
			return err
		}
		defer o.Unlock()
		if n == 0 {
			fmt.Println("held", o.Depth(), "times")
			return nil
		}
		return visit(o, n-1)
	}
	if err := visit(m.Owner(), 2); err != nil {
		log.Fatal(err)
	}
	fmt.Println("held:", m.Held())
	// Output:
	// held 3 times
	// held: false
}

// Several locks lie beside data in one segment. Whoever opens the segment finds
// them at the same places.
func ExampleAt() {
	s, err := shm.Anonymous("ledger", &shm.Options{Size: 4096})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	size, err := lock.Size[lock.Mutex](s.Slots(), nil)
	if err != nil {
		log.Fatal(err)
	}
	for off := int64(0); off < 2*size; off += size {
		m, err := lock.At[lock.Mutex](s, off, nil)
		if err != nil {
			log.Fatal(err)
		}
		err = m.With(context.Background(), func() error {
			s.Data()[2*size]++ // what the locks protect lies behind them
			return nil
		})
		fmt.Println(off, s.Data()[2*size], err)
	}
	// Output:
	// 0 1 <nil>
	// 128 2 <nil>
}
