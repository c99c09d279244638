#!/usr/bin/env bash
# kill.sh [PACKAGE...]: deaths at every instruction, all of them, and stops at every
# one. go test ./... takes an eighth of them, another one each time.
. "$(dirname "$0")/lib.sh"

for pkg in ${*:-./ring ./shm/lock ./value}; do
	say go test -count=1 -timeout 1h -v -run '^(TestKillEveryInstruction|TestStoppedPeer)$' "$pkg"
done
