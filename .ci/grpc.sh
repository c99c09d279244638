#!/usr/bin/env bash
# The module in examples/grpc, which go test ./... does not see. It needs gRPC, once,
# from the module proxy; flags of go test may follow.
. "$(dirname "$0")/lib.sh"

cd examples/grpc
say go vet .
say go test "$@" .
