// Package codec turns objects into messages and back, for everything that
// carries messages between processes.
package codec

import (
	"bytes"

	"github.com/fxamacker/cbor/v2"
)

// A Codec turns objects into messages and back. It must be safe for use by many
// goroutines at once.
type Codec interface {
	// MarshalAppend appends the encoding of v to dst and returns the result.
	MarshalAppend(dst []byte, v any) ([]byte, error)

	// Unmarshal decodes data into what ptr points to. It must not keep data,
	// nor slices of it, and must not panic or allocate without measure
	// whatever data is: it comes from another process.
	Unmarshal(data []byte, ptr any) error
}

// CBOR is the default codec (RFC 8949). What it decodes into an any is built of
// nil, bool, int64, float64, string, []byte, []any, map[any]any, time.Time and,
// for integers that int64 does not hold, *big.Int; from a peer of another kind
// also of cbor.Tag, cbor.SimpleValue and cbor.ByteString.
//
// Values must not contain cycles. Decoding refuses duplicate keys, nesting
// deeper than 256 levels, arrays of more than 16 Mi elements and maps of more
// than 4 Mi pairs, and never allocates for elements that have not arrived.
var CBOR Codec = newCBOR()

const (
	cborLevels = 256
	cborArray  = 16 << 20
	cborMap    = 4 << 20
)

type cborCodec struct {
	enc cbor.UserBufferEncMode
	dec cbor.DecMode
}

func newCBOR() cborCodec {
	enc, err := cbor.EncOptions{
		Time:    cbor.TimeRFC3339Nano,
		TimeTag: cbor.EncTagRequired,
	}.UserBufferEncMode()
	if err != nil {
		panic(err) // the options are constants
	}
	dec, err := cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:  cborLevels,
		MaxArrayElements: cborArray,
		MaxMapPairs:      cborMap,
		IntDec:           cbor.IntDecConvertSignedOrBigInt,
		BigIntDec:        cbor.BigIntDecodePointer,
		UTF8:             cbor.UTF8DecodeInvalid, // as Go's strings are
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return cborCodec{enc, dec}
}

func (c cborCodec) MarshalAppend(dst []byte, v any) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	if err := c.enc.MarshalToBuffer(v, b); err != nil {
		return dst, err
	}
	return b.Bytes(), nil
}

func (c cborCodec) Unmarshal(data []byte, ptr any) error { return c.dec.Unmarshal(data, ptr) }
