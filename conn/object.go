package conn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"

	"github.com/sluice-ipc/sluice/internal/codec"
)

// Send encodes v and sends it as one message, waiting for room. When v cannot
// be encoded nothing is sent. Changing v after Send returns changes nothing for
// the receiver. The errors are those of SendBytes, and the codec's.
func (s *sender) Send(ctx context.Context, v any) error {
	return s.encode(v, func(b []byte) error { return s.SendBytes(ctx, b) })
}

// TrySend is Send without waiting, with the errors of TrySendBytes.
func (s *sender) TrySend(v any) error { return s.encode(v, s.TrySendBytes) }

// encode gives the encoding of v to send.
func (s *sender) encode(v any, send func([]byte) error) error {
	if err := s.e.usable("send to", sends); err != nil {
		return err
	}
	buf := codec.GetBuffer()
	b, err := s.e.opts.Codec.MarshalAppend(buf.B, v)
	if err != nil {
		buf.Free()
		return &opError{"send to", s.e.name, nil, fmt.Errorf("encode %T: %w", v, err)}
	}
	buf.B = b
	err = send(b)
	buf.Free()
	return err
}

// Recv waits for a message and decodes it into whatever it says it is; with the
// default codec see CBOR for the types. A message that cannot be decoded is
// consumed and comes with *DecodeError. The other errors are those of RecvBytes.
func (r *receiver) Recv(ctx context.Context) (v any, err error) {
	err = r.RecvTo(ctx, &v)
	return v, err
}

// TryRecv is Recv without waiting, with the errors of TryRecvBytes.
func (r *receiver) TryRecv() (v any, err error) {
	err = r.TryRecvTo(&v)
	return v, err
}

// RecvTo is Recv into what ptr points to, which may be filled in part when the
// error is *DecodeError. Anything but a pointer is an error, before a message
// is consumed.
func (r *receiver) RecvTo(ctx context.Context, ptr any) error {
	if err := r.target(ptr); err != nil {
		return err
	}
	b, err := r.Peek(ctx)
	if err != nil {
		return err
	}
	return r.decode(b, ptr)
}

// TryRecvTo is RecvTo without waiting, with the errors of TryRecvBytes.
func (r *receiver) TryRecvTo(ptr any) error {
	if err := r.target(ptr); err != nil {
		return err
	}
	b, err := r.TryPeek()
	if err != nil {
		return err
	}
	return r.decode(b, ptr)
}

func (r *receiver) target(ptr any) error {
	if err := r.e.usable("receive from", receives); err != nil {
		return err
	}
	if v := reflect.ValueOf(ptr); v.Kind() != reflect.Pointer || v.IsNil() {
		return &opError{"receive from", r.e.name, nil, errNotPointer}
	}
	return nil
}

// decode decodes a peeked message and releases it.
//
// A codec reads its input more than once: it checks, then it trusts. The other
// process must not be able to change the input in between, so what lies in
// shared memory is copied first. A message that is longer than a frame came in
// pieces and lies in a buffer of the reader's already.
func (r *receiver) decode(b []byte, ptr any) error {
	if len(b) > r.e.in.MaxFrame() {
		defer r.Release() // the codec may run methods of the user's, which panic
		return r.unmarshal(b, ptr)
	}
	own := codec.GetBuffer()
	own.B = append(own.B, b...)
	r.Release()
	err := r.unmarshal(own.B, ptr)
	own.Free()
	return err
}

func (r *receiver) unmarshal(b []byte, ptr any) error {
	err := r.e.opts.Codec.Unmarshal(b, ptr)
	if err != nil {
		return &DecodeError{r.e.name, private(b), err}
	}
	return nil
}

// All iterates over the objects that arrive, until the end of the stream, which
// ends the loop. A message that was lost or could not be decoded is a pair with
// ErrMessageLost or *DecodeError, after which the loop goes on; any other error
// is the last pair.
func (r *receiver) All(ctx context.Context) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		for {
			v, err := r.Recv(ctx)
			if err == io.EOF || !yield(v, err) {
				return
			}
			if err != nil && !oneMessage(err) {
				return
			}
		}
	}
}

// oneMessage reports whether an error concerns one message only.
func oneMessage(err error) bool {
	var d *DecodeError
	return errors.Is(err, ErrMessageLost) || errors.As(err, &d)
}
