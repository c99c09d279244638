#!/bin/sh
# emulate.sh PROGRAM ARG...: runs a program of arm64 under the emulator that is
# in $QEMU. The program's argv[0] is a script that does the same again, so that
# programs which start themselves can.
#
# Before version 8 the emulator's own allocator can hang in the child of a fork of
# several threads, and the parent with it (qemu's issue 285); malloc does not.
program=${1%.again}
shift
again=$program.again
if [ ! -x "$again" ]; then
	printf '#!/bin/sh\nexport G_SLICE=always-malloc\nexec "%s" -0 "$0" "%s" "$@"\n' "$QEMU" "$program" >"$again.$$"
	chmod +x "$again.$$"
	mv "$again.$$" "$again"
fi
export G_SLICE=always-malloc
exec "$QEMU" -0 "$again" "$program" "$@"
