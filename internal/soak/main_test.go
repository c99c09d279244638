//go:build linux

package soak_test

import (
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
)

func TestMain(m *testing.M) {
	shmtest.Main(m, map[string]shmtest.Role{"producer": produce, "consumer": consume})
}
