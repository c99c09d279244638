#!/usr/bin/env bash
# unfork.sh PROGRAM: kills, until it is killed itself, children of PROGRAM that
# have been forked half a minute ago and still execute nothing, and prints their
# process IDs. Between fork and exec a child has its parent's environment and
# auxiliary vector, random addresses and all; afterwards it has its own.
name=${1##*/}
name=${name:0:15} # as the kernel cuts it
ticks=$(getconf CLK_TCK)

while sleep 5; do
	read -r uptime _ </proc/uptime
	for p in /proc/[0-9]*; do
		{ read -r comm <"$p/comm" && [ "$comm" = "$name" ] && stat=$(<"$p/stat"); } 2>/dev/null || continue
		set -- ${stat##*) } # from the third field on: state, parent, ...
		if [ $((${uptime%.*} - ${20} / ticks)) -gt 30 ] &&
			cmp -s "$p/auxv" "/proc/$2/auxv" && cmp -s "$p/environ" "/proc/$2/environ"; then
			kill -KILL "${p#/proc/}" && echo "${p#/proc/}"
		fi
	done
done
