//go:build linux

package proc_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-ipc/sluice/conn"
	"github.com/sluice-ipc/sluice/internal/shmtest"
	"github.com/sluice-ipc/sluice/shm/proc"
)

// The codec takes the exported fields of what is embedded, whatever its name.
type embedded struct{ V any }

type embedding struct{ embedded }

type embeddedHandle struct{ C *conn.Conn }

// Cliques are types of which each has all of them inside. To go all the ways
// through them takes longer than anybody waits.
type clique[T any] struct {
	A *clique[int]
	B *clique[int8]
	C *clique[int16]
	D *clique[int32]
	E *clique[int64]
	F *clique[uint]
	G *clique[uint8]
	H *clique[uint16]
	I *clique[uint32]
	J *clique[uint64]
	K *clique[string]
	L *clique[bool]
	M *clique[float64]
}

// A ring goes round, but not when it is encoded.
type ring1 struct{ Next *ring1 }

func (*ring1) MarshalBinary() ([]byte, error)   { return nil, nil }
func (r *ring1) UnmarshalBinary(b []byte) error { r.Next = r; return nil }

func init() {
	proc.Register("clique", func(clique[int]) {})
	proc.Register("ring", func(r *ring1) error { return differ(r.Next == r, r.Next == nil) })
	proc.Register("depth", func(v any, want int) error {
		n := 0
		for ; v != nil; n++ {
			l, _ := v.([]any)
			if len(l) != 1 {
				break
			}
			v = l[0]
		}
		return differ(n == want, n)
	})
}

// nested returns v in that many lists.
func nested(levels int, v any) any {
	for range levels {
		v = []any{v}
	}
	return v
}

func line(n int) (first *tree) {
	for range n {
		first = &tree{Left: first}
	}
	return first
}

// Data without an end, or deeper than the codec goes, is refused and does not end
// the process.
func TestDeepArguments(t *testing.T) {
	shmtest.NoLeaks(t)
	list := make([]any, 2)
	list[0], list[1] = list, list
	dict := map[string]any{}
	dict["a"] = &dict
	round := &tree{}
	round.Left = round
	round.Right = &tree{Left: round}
	var itself any
	itself = &itself
	// The same thing in many places is deeper in one than in the other.
	inner := nested(200, nil)
	for name, v := range map[string]any{
		"a list in itself": list, "a map in itself": dict, "a tree in itself": round,
		"a pointer to itself": itself, "many levels": nested(257, nil), "a long line": line(1_000_000),
		"twice": []any{inner, nested(60, inner)},
	} {
		err := proc.New("any", v).Start()
		e, ok := errors.AsType[*proc.ArgumentError](err)
		if !ok || e.Index != 0 || !strings.Contains(e.Why, "nested") {
			t.Errorf("%s: %v", name, err)
		}
	}
	well(t, start(t, "depth", nested(256, nil), 256))
	well(t, start(t, "any", line(256)))
	well(t, start(t, "any", []any{inner, inner, line(100)}))
	r := &ring1{}
	r.Next = r
	well(t, start(t, "ring", r))
	well(t, start(t, "clique", clique[int]{B: &clique[int8]{}}))
}

func TestRegisterLooksIntoWhatIsEmbedded(t *testing.T) {
	for _, f := range []any{
		func(struct{ embeddedHandle }) {},
		func(struct{ *embeddedHandle }) {},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%T is taken", f)
				}
			}()
			proc.Register(fmt.Sprintf("%T", f), f)
		}()
	}
}
