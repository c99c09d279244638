#!/usr/bin/env bash
# The tests, as the README says; flags of go test may follow.
. "$(dirname "$0")/lib.sh"

say go test "$@" ./...
