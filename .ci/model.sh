#!/usr/bin/env bash
# model.sh [TIME]: the model of the queue's protocol in configurations that are too
# large for every test run, smaller ones first, until they are complete or the
# time (10m) is used up. It prints the states of each, and says of those that were
# not completed, or not begun, that they were not. It may take 6 GiB.
. "$(dirname "$0")/lib.sh"

export GOMAXPROCS=1 GOMEMLIMIT=${GOMEMLIMIT:-5GiB}
say go test -count=1 -timeout 0 -v -run '^TestLarge$' ./internal/model \
	-model.for "${1:-10m}"
