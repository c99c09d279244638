#!/usr/bin/env bash
# Every package built, and its tests compiled, for platforms (GOOS/GOARCH...), all
# without cgo. Programs and tests are linked for Linux only, where they are run.
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
	if [ "$GOOS" = linux ]; then
		echo "+ $platform: go test -c"
		go test -c -o /dev/null ./...
	fi
done
