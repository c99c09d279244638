#!/usr/bin/env bash
# fuzz.sh [TIME]: every fuzz target, each for that long (5s).
. "$(dirname "$0")/lib.sh"

time=${1:-5s}
for pkg in $(go list ./...); do
	listed=$(go test -list '^Fuzz' "$pkg")
	for target in $(grep '^Fuzz' <<<"$listed" || true); do
		say go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$pkg"
	done
done
