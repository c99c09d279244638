package value_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
)

// roles are what children of this package do; files add theirs in init.
var roles = map[string]shmtest.Role{}

func TestMain(m *testing.M) { shmtest.Main(m, roles) }

var bg = context.Background()

var serial atomic.Int64

// fresh returns the name of a segment that there is not, and removes the file
// when the test ends.
func fresh(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("/dev/shm/sluice-valuetest-%d-%d", os.Getpid(), serial.Add(1))
	t.Cleanup(func() { os.Remove(name) })
	return name
}

// must is for what does not fail unless the test is wrong, and for children,
// whose parent reads what they die of.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// check is must for calls that return an error only.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

// number is must(strconv.Atoi) for what children say and are told.
func number(s string) int { return must(strconv.Atoi(s)) }

func itoa(n int) string { return strconv.Itoa(n) }
