#!/usr/bin/env bash
# stress.sh [SECONDS]: deaths at named steps, and then all tests of what is shared
# between processes again and again, in another order each time and on one, two
# and four Ps, for that long (60).
. "$(dirname "$0")/lib.sh"

seconds=${1:-60}
say go test -tags sluice_hooks -count=1 ./internal/hook ./shm ./ring ./conn
SECONDS=0
while [ "$SECONDS" -lt "$seconds" ]; do
	say go test -short -count=1 -shuffle=on -cpu 1,2,4 \
		./internal/wait ./internal/sys ./shm ./ring ./conn
done
