#!/usr/bin/env bash
# soak.sh [TIME]: processes that use a queue are killed at random and replaced for
# that long (30s; 10m, 1h), and every message is accounted for. In the last third
# they die at named steps too. Flags of the test may follow, such as -soak.seed N or
# -soak.plan NAME; go doc ./internal/soak says what is checked.
. "$(dirname "$0")/lib.sh"

time=${1:-30s}
[ $# = 0 ] || shift
case $time in
*h) seconds=$((${time%h} * 3600)) ;;
*m) seconds=$((${time%m} * 60)) ;;
*) seconds=${time%s} ;;
esac
late=$((seconds / 3))

# soak SECONDS [FLAG...]: the test, with no time limit but its own watchdog.
soak() {
	local n=$1
	shift
	say go test ${tags:+-tags "$tags"} -count=1 -timeout 0 -v -run '^TestSoak$' \
		./internal/soak -args -soak "${n}s" "$@"
}

soak $((seconds - late)) "$@"
tags=sluice_hooks soak "$late" "$@"
