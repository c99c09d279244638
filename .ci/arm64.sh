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

# The emulator can hang in the child of a fork, before it executes anything, and
# the parent with it, when another thread is closing a descriptor just then (qemu's
# issue 2846; emulate.sh avoids another cause). Such children are killed, and
# what then failed is tested again; without one, a failure is a failure.
work=$(mktemp -d)
.ci/unfork.sh "$QEMU" >>"$work/hung" &
trap 'kill $! 2>/dev/null; rm -rf "$work"' EXIT

# emulated PACKAGE...: tests them with $flags, at most three times.
emulated() {
	local packages=("$@")
	for _ in 1 2 3; do
		: >"$work/hung"
		say go test -exec "$SLUICE_TEST_EXEC" "${flags[@]}" "${packages[@]}" | tee "$work/out" && return
		[ -s "$work/hung" ] || return 1
		echo "the emulator hung in forks and was killed: $(wc -l <"$work/hung"); again what failed"
		mapfile -t packages < <(sed -n 's/^FAIL\t\([^\t]*\)\t.*/\1/p' "$work/out")
	done
	return 1
}

# Without what is the same on every machine, and of the bench, whose figures would
# mean nothing, only what is written in assembly.
flags=("$@")
emulated $(go list ./... | grep -v '/\(archtest\|model\|bench\)$')
flags+=(-run Ticks)
emulated ./bench
