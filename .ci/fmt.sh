#!/usr/bin/env bash
# Formatting, vet, and whether go.mod and go.sum say what the source needs.
. "$(dirname "$0")/lib.sh"

unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
	echo "gofmt would change:"
	echo "$unformatted"
	exit 1
fi
for script in .ci/run .ci/*.sh; do
	bash -n "$script"
done
say go vet ./...
say go vet -tags sluice_hooks ./...
say go mod tidy -diff
say go mod verify
