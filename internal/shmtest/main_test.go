package shmtest_test

import (
	"testing"

	"github.com/sluice-ipc/sluice/internal/shmtest"
)

func TestMain(m *testing.M) { shmtest.Main(m, roles) }

// roles are the children of this package's tests; other files add theirs.
var roles = map[string]shmtest.Role{
	"echo": echo,
	"fail": func([]string) int { return 7 },
}

// echo says its arguments, then each line it hears.
func echo(args []string) int {
	for _, a := range args {
		shmtest.Say("%s", a)
	}
	for {
		line, ok := shmtest.Hear()
		if !ok {
			return 0
		}
		shmtest.Say("%s", line)
	}
}
