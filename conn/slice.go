package conn

import (
	"context"
	"reflect"
	"runtime"
	"sync"

	"github.com/sluice-ipc/sluice/internal/mem"
)

// RecvAs receives an object as a T, with the errors of RecvTo.
func RecvAs[T any](ctx context.Context, c Receiver) (v T, err error) {
	err = c.receiving().RecvTo(ctx, &v)
	return v, err
}

// SendSlice sends the memory of v, as it is, as one message. T must be a plain
// type: numbers, and arrays and structs of numbers, of the same size and order
// of bytes on both sides, as it is between processes of one machine. int and
// uint are 64 bits there. The padding of structs is sent too. The other errors
// are those of SendBytes.
func SendSlice[T any](ctx context.Context, c Sender, v []T) error {
	s := c.sending()
	if err := s.e.usable("send to", sends); err != nil {
		return err
	}
	if _, err := plain[T](); err != nil {
		return &opError{"send to", s.e.name, nil, err}
	}
	err := s.SendBytes(ctx, mem.Bytes(v))
	runtime.KeepAlive(v)
	return err
}

// RecvSliceInto waits for a message, copies it into dst as elements and returns
// their number; the rest of dst is not touched. Two messages are consumed and
// come with an error that carries them, with dst as it was: one that is not a
// whole number of elements (*ElementSizeError), and one of more elements than
// dst has (*BufferTooShortError). The other errors are those of RecvBytes, and
// of SendSlice for T.
func RecvSliceInto[T any](ctx context.Context, c Receiver, dst []T) (int, error) {
	r := c.receiving()
	if err := r.e.usable("receive from", receives); err != nil {
		return 0, err
	}
	size, err := plain[T]()
	if err != nil {
		return 0, &opError{"receive from", r.e.name, nil, err}
	}
	n, err := r.recvInto(ctx, mem.Bytes(dst), size)
	runtime.KeepAlive(dst)
	return n / size, err
}

// RecvSlice is RecvSliceInto into a new slice, which is never nil.
func RecvSlice[T any](ctx context.Context, c Receiver) ([]T, error) {
	r := c.receiving()
	if err := r.e.usable("receive from", receives); err != nil {
		return nil, err
	}
	size, err := plain[T]()
	if err != nil {
		return nil, &opError{"receive from", r.e.name, nil, err}
	}
	b, err := r.Peek(ctx)
	if err != nil {
		return nil, err
	}
	dst := make([]T, len(b)/size)
	_, err = r.fill(mem.Bytes(dst), b, size)
	r.Release()
	if err != nil {
		return nil, err
	}
	return dst, nil
}

// plainTypes remembers the types that are not numbers and may be sent as they
// are.
var plainTypes sync.Map // of reflect.Type

// plain returns the size of a T, or why it cannot be sent as it is.
func plain[T any]() (size int, err error) {
	t := reflect.TypeFor[T]()
	if k := t.Kind(); k >= reflect.Int && k <= reflect.Complex128 && k != reflect.Uintptr {
		return int(t.Size()), nil
	}
	if _, ok := plainTypes.Load(t); ok {
		return int(t.Size()), nil
	}
	if err := mem.CheckPlain[T](); err != nil {
		return 0, err
	}
	if t.Size() == 0 {
		return 0, errNoSize
	}
	plainTypes.Store(t, nil)
	return int(t.Size()), nil
}
