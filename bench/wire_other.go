//go:build !unix

package main

import (
	"errors"
	"fmt"
	"os"
)

func newPolled(f *os.File, packet, crowd bool) (wire, error) {
	return nil, fmt.Errorf("bench: polling a descriptor: %w", errors.ErrUnsupported)
}
