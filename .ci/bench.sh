#!/usr/bin/env bash
# One pass of everything that measures, to see that it works: no figure from
# here means anything.
. "$(dirname "$0")/lib.sh"

say go run ./bench -quick -svg ''
say go test -run '^$' -bench . -benchtime 1x ./...
