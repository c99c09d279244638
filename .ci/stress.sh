#!/usr/bin/env bash
# stress.sh [SECONDS]: deaths and stops at named steps, and then all tests of what
# is shared between processes again and again, in another order each time and on
# four, one and two Ps in turn, for that long (60), once at least. Deaths and stops
# at each instruction are left to test.sh.
. "$(dirname "$0")/lib.sh"

seconds=${1:-60}

# hooked PACKAGE: the tests that are only there with the hooks.
hooked() {
	comm -13 <(go test -list . "$1" | grep '^Test' | sort) \
		<(go test -tags sluice_hooks -list . "$1" | grep '^Test' | sort) | paste -sd'|'
}

for pkg in ./internal/hook ./shm ./shm/lock ./ring ./value ./conn; do
	tests=$(hooked "$pkg")
	[ -z "$tests" ] || say go test -tags sluice_hooks -count=1 -run "^($tests)\$" "$pkg"
done
SECONDS=0
for ((round = 0; round == 0 || SECONDS < seconds; round++)); do
	cpus=(4 1 2)
	say go test -short -count=1 -skip '^(TestKillEveryInstruction|TestStoppedPeer)$' \
		-shuffle=on -cpu "${cpus[round % 3]}" ./internal/wait ./internal/sys ./shm/... ./ring ./value ./conn
done
