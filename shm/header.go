package shm

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"time"

	"github.com/sluice-ipc/sluice/internal/mem"
	"github.com/sluice-ipc/sluice/internal/sys"
)

const (
	magic     = "SLUICE\r\n"
	byteOrder = 0x01020304
	major     = 1
	minor     = 0

	// incompatKnown are the features that change the layout in a way that a
	// version without them must refuse. There are none yet.
	incompatKnown = 0

	fieldBootID = "boot id"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// newHeader describes a segment that is about to be made.
func newHeader(o *Options, label string) *header {
	off := alignUp(tableOff+int64(o.MaxParticipants)*slotLen, dataAlign)
	h := &header{
		order: byteOrder, major: major, minor: minor, length: headerLen,
		pageSize: uint32(os.Getpagesize()),
		kind:     uint32(o.Kind), version: o.Version, fingerprint: o.Fingerprint,
		fileLen: uint64(off + alignUp(o.Size, dataAlign)),
		dataOff: uint64(off), dataLen: uint64(o.Size),
		tableOff: tableOff, entries: uint32(o.MaxParticipants),
		created: time.Now().UnixNano(),
		bootID:  sys.BootID(),
	}
	if h.kind == 0 {
		h.kind = uint32(KindRaw)
	}
	copy(h.magic[:], magic)
	rand.Read(h.uuid[:])
	setText(&h.elemType, o.ElemType)
	setText(&h.label, label)
	h.crc = h.sum()
	return h
}

// bytes returns the header as it lies in the file.
func (h *header) bytes() []byte {
	return bytes.Clone(mem.Bytes([]header{*h}))
}

// sum is the checksum over all that precedes the field crc.
func (h *header) sum() uint32 {
	return crc32.Checksum(h.bytes()[:headerLen-4], castagnoli)
}

// readHeader copies the header out of a file and checks that this version
// understands it and that nothing in it points out of the file. What it
// returns is the only copy that may be used.
func readHeader(f *os.File, name string) (*header, error) {
	id, err := sys.Stat(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	if !id.Regular {
		return nil, &FormatError{name, "file type", id.Mode.Type(), "regular file"}
	}
	b := make([]byte, headerLen)
	if _, err := f.ReadAt(b, 0); err == io.EOF {
		return nil, &FormatError{name, "file length", id.Size,
			fmt.Sprintf("at least %d", headerLen)}
	} else if err != nil {
		return nil, err
	}
	h := *mem.At[header](aligned(b), 0)
	return &h, h.check(name, id.Size)
}

// aligned returns b at an address fit for any field.
func aligned(b []byte) []byte {
	w := make([]uint64, (len(b)+7)/8)
	c := mem.Bytes(w)[:len(b)]
	copy(c, b)
	return c
}

// check names the first field that this version cannot use.
func (h *header) check(name string, size int64) error {
	bad := func(field string, got, want any) error {
		return &FormatError{name, field, got, want}
	}
	switch {
	case string(h.magic[:]) != magic:
		return bad("magic", fmt.Sprintf("%q", h.magic[:]), fmt.Sprintf("%q", magic))
	case h.order != byteOrder:
		return bad("byte order", hexOf(h.order), hexOf(byteOrder))
	case h.major != major:
		return bad("major version", h.major, major)
	case h.crc != h.sum():
		return bad("crc", hexOf(h.crc), hexOf(h.sum()))
	case h.length != headerLen:
		return bad("header length", h.length, headerLen)
	case h.incompat&^incompatKnown != 0:
		return bad("incompatible features", hexOf(h.incompat), hexOf(incompatKnown))
	case h.fileLen != uint64(size):
		return bad("file length", size, h.fileLen)
	case h.otherBoot():
		return bad(fieldBootID, hex.EncodeToString(h.bootID[:]),
			"that of the running system")
	}
	return h.checkPlaces(name)
}

// otherBoot reports whether the segment is from before the machine was started
// last, as far as the creator and we could find out which start that was.
func (h *header) otherBoot() bool {
	var unknown [16]byte
	now := sys.BootID()
	return h.bootID != now && h.bootID != unknown && now != unknown
}

// checkPlaces checks the offsets, each against bounds that were checked
// before, so that no sum can overflow.
func (h *header) checkPlaces(name string) error {
	bad := func(field string, got, want any) error {
		return &FormatError{name, field, got, want}
	}
	tableEnd := uint64(tableOff) + uint64(h.entries)*slotLen
	switch {
	case h.fileLen > maxSize+maxDataOff || h.fileLen > uint64(maxInt):
		return bad("file length", h.fileLen, fmt.Sprintf("at most %d", int64(maxSize)))
	case h.entries < 1 || h.entries > maxParticipants:
		return bad("participants", h.entries, fmt.Sprintf("1 to %d", maxParticipants))
	case h.tableOff != tableOff:
		return bad("table offset", h.tableOff, tableOff)
	case h.dataOff%dataAlign != 0 || h.dataOff < tableEnd || h.dataOff > h.fileLen:
		return bad("data offset", h.dataOff,
			fmt.Sprintf("a multiple of %d from %d to %d", dataAlign, tableEnd, h.fileLen))
	case h.dataLen < 1 || h.dataLen > h.fileLen-h.dataOff:
		return bad("data length", h.dataLen,
			fmt.Sprintf("1 to %d", h.fileLen-h.dataOff))
	}
	return nil
}

// matches checks the segment against what the caller expects to find in it.
func (h *header) matches(name string, o *Options) error {
	if o.Kind != 0 && h.kind != uint32(o.Kind) {
		return &FormatError{name, "kind", Kind(h.kind), o.Kind}
	}
	if o.Kind != 0 && h.version != o.Version {
		return &FormatError{name, "version of kind " + o.Kind.String(),
			h.version, o.Version}
	}
	if o.Fingerprint != 0 && h.fingerprint != o.Fingerprint {
		return &FormatError{name, "element type",
			elemName(textOf(h.elemType[:]), h.fingerprint),
			elemName(o.ElemType, o.Fingerprint)}
	}
	return nil
}

func elemName(name string, fingerprint uint64) string {
	if fingerprint == 0 {
		return "none"
	}
	return fmt.Sprintf("%s (%#016x)", name, fingerprint)
}

const maxInt = int(^uint(0) >> 1)

func alignUp(n, to int64) int64 { return (n + to - 1) / to * to }

func hexOf(v uint32) string { return fmt.Sprintf("%#x", v) }

// setText stores as much of s as fits before the NUL.
func setText(dst *[maxText + 1]byte, s string) {
	clear(dst[:])
	copy(dst[:maxText], s)
}

// textOf reads what setText stored, or whatever else is there: it ends at the
// first NUL or with the field, and only printable text comes out.
func textOf(b []byte) string {
	var c [maxText + 1]byte // a peer may be writing it
	n := copy(c[:], b)
	s, _, _ := strings.Cut(string(c[:n]), "\x00")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
