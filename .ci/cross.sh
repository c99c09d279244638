#!/usr/bin/env bash
# Every package compiled for platforms (GOOS/GOARCH...), all without cgo, and its
# tests checked where that says something new: once for each kind of system.
# Programs are linked where they are run: see arm64.sh.
. "$(dirname "$0")/lib.sh"

if [ $# = 0 ]; then
	set -- linux/arm64 darwin/arm64 windows/amd64 freebsd/amd64
fi
export CGO_ENABLED=0
for platform; do
	export GOOS=${platform%/*} GOARCH=${platform#*/}
	echo "+ $platform: go build"
	go build $(go list -f '{{if and .GoFiles (ne .Name "main")}}{{.ImportPath}}{{end}}' ./...)
	if [ "$GOOS" != freebsd ]; then # whose files are darwin's
		echo "+ $platform: go vet"
		go vet ./...
	fi
done
