#!/usr/bin/env bash
# Every package compiled, and its tests checked, for platforms (GOOS/GOARCH...), all
# without cgo. Programs are linked where they are run: see arm64.sh.
. "$(dirname "$0")/lib.sh"

if [ $# = 0 ]; then
	set -- linux/arm64 darwin/arm64 windows/amd64 freebsd/amd64
fi
export CGO_ENABLED=0
for platform; do
	export GOOS=${platform%/*} GOARCH=${platform#*/}
	echo "+ $platform: go build, go vet"
	go build $(go list -f '{{if and .GoFiles (ne .Name "main")}}{{.ImportPath}}{{end}}' ./...)
	go vet ./...
done
