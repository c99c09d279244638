#!/usr/bin/env bash
# The tests on arm64 under emulation; flags of go test may follow. It shows
# layout and system calls, not the weak ordering: for that there is a native
# runner. On an arm64 machine they simply run.
. "$(dirname "$0")/lib.sh"

if [ "$(go env GOHOSTARCH)" = arm64 ]; then
	say go test "$@" ./...
	exit
fi
if ! have qemu-aarch64-static && ! have qemu-aarch64; then
	install qemu-user-static
fi
QEMU=$(command -v qemu-aarch64-static || command -v qemu-aarch64)

# SLUICE_TEST_EXEC: what starts children, under the emulator too.
# SLUICE_TEST_SCALE: watchdogs wait that many times as long.
export QEMU GOOS=linux GOARCH=arm64 CGO_ENABLED=0
export SLUICE_EMULATED=1 SLUICE_TEST_EXEC=$PWD/.ci/emulate.sh SLUICE_TEST_SCALE=5
# Without what is the same on every machine, and of the bench, whose figures would
# mean nothing, only what is written in assembly.
say go test -exec "$SLUICE_TEST_EXEC" "$@" $(go list ./... | grep -v '/\(archtest\|model\|bench\)$')
say go test -exec "$SLUICE_TEST_EXEC" "$@" -run Ticks ./bench
