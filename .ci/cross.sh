#!/usr/bin/env bash
# Every package and its tests, compiled for platforms (GOOS/GOARCH...), all
# without cgo.
. "$(dirname "$0")/lib.sh"

if [ $# = 0 ]; then
	set -- linux/amd64 linux/arm64 darwin/arm64 windows/amd64 freebsd/amd64
fi
export CGO_ENABLED=0
for platform; do
	echo "+ $platform: go vet, go test -c"
	GOOS=${platform%/*} GOARCH=${platform#*/} go vet ./...
	GOOS=${platform%/*} GOARCH=${platform#*/} go test -c -o /dev/null ./...
done
