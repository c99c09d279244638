package conn

import "github.com/sluice-ipc/sluice/internal/codec"

// A Codec turns objects into messages and back. It must be safe for use by many
// goroutines at once.
//
// MarshalAppend appends the encoding of v to dst and returns the result.
// Unmarshal decodes data into what ptr points to. It must not keep data, nor
// slices of it, and must not panic or allocate without measure whatever data is:
// it comes from another process.
type Codec = codec.Codec

// CBOR is the default codec (RFC 8949). What Recv returns is built of nil, bool,
// int64, float64, string, []byte, []any, map[any]any, time.Time and, for
// integers that int64 does not hold, *big.Int: so []any{42, nil, "hello"}
// arrives as []any{int64(42), nil, "hello"}. What a peer of another kind sends
// may also arrive as cbor.Tag, cbor.SimpleValue or cbor.ByteString. RecvTo
// decodes into any type that encoding/json could fill, honouring `cbor` and
// `json` field tags.
//
// Values must not contain cycles. Decoding refuses duplicate keys, nesting
// deeper than 256 levels, arrays of more than 16 Mi elements and maps of more
// than 4 Mi pairs, and never allocates for elements that have not arrived.
// Large arrays of numbers are better sent with SendSlice.
var CBOR = codec.CBOR
