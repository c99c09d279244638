#!/bin/sh
# emulate.sh PROGRAM ARG...: runs a program of arm64 under the emulator that is
# in $QEMU. The program's argv[0] is a script that does the same again, so that
# programs which start themselves can.
program=${1%.again}
shift
again=$program.again
if [ ! -x "$again" ]; then
	printf '#!/bin/sh\nexec "%s" -0 "$0" "%s" "$@"\n' "$QEMU" "$program" >"$again.$$"
	chmod +x "$again.$$"
	mv "$again.$$" "$again"
fi
exec "$QEMU" -0 "$again" "$program" "$@"
