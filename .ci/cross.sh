#!/usr/bin/env bash
# Every package built, and its tests compiled, for platforms (GOOS/GOARCH...), all
# without cgo. Those that are run link them as well: see arm64.sh.
. "$(dirname "$0")/lib.sh"

if [ $# = 0 ]; then
	set -- linux/arm64 darwin/arm64 windows/amd64 freebsd/amd64
fi
export CGO_ENABLED=0
for platform; do
	export GOOS=${platform%/*} GOARCH=${platform#*/}
	echo "+ $platform: go build, go vet"
	go build ./...
	go vet ./...
done
