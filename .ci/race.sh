#!/usr/bin/env bash
# The tests under the race detector, which needs a C compiler; flags of go test
# may follow. The detector sees the algorithms where they run over Go's heap.
. "$(dirname "$0")/lib.sh"

if ! have "${CC:-gcc}"; then
	install gcc libc6-dev
fi
# Each process would sleep a second before it exits, and there are hundreds.
export GORACE="atexit_sleep_ms=20 ${GORACE:-}"
# Without what reads the source, and what runs on one goroutine.
CGO_ENABLED=1 say go test -race "$@" $(go list ./... | grep -v '/internal/\(archtest\|model\)$')
