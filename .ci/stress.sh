#!/usr/bin/env bash
# stress.sh [SECONDS]: deaths and stops at named steps, and then all tests of what
# is shared between processes again and again, in another order each time and on
# one, two and four Ps, for that long (60). Deaths and stops at each instruction are left
# to test.sh: the hooks of the named steps have many more of them.
. "$(dirname "$0")/lib.sh"

seconds=${1:-60}
skip='^(TestKillEveryInstruction|TestStoppedPeer)$'
say go test -tags sluice_hooks -count=1 -skip "$skip" \
	./internal/hook ./shm ./ring ./conn
SECONDS=0
while [ "$SECONDS" -lt "$seconds" ]; do
	say go test -short -count=1 -skip "$skip" -shuffle=on -cpu 1,2,4 \
		./internal/wait ./internal/sys ./shm ./ring ./conn
done
