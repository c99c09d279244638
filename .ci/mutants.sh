#!/usr/bin/env bash
# mutants.sh [NAME...]: takes one rule of the queue away at a time, in a copy, and
# wants the tests to notice. It prints which test did. A mutant that lives fails the
# script; so does one that cannot be made any more, because the code has changed.
. "$(dirname "$0")/lib.sh"

only=" $* "
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$tmp" 2>/dev/null || true
top=$PWD
alive=""
export SLUICE_TEST_SCALE=0.2 # what hangs need not hang for long

# mutant NAME FILE PERL TESTS [FLAG...]: changes FILE by PERL, of which every file is
# one string, and runs these tests of package ring.
mutant() {
	local name=$1 file=$2 change=$3 tests=$4
	shift 4
	if [ "$only" != "  " ] && [[ "$only" != *" $name "* ]]; then
		return
	fi
	cd "$tmp"
	perl -0pi -e "$change" "$file"
	if cmp -s "$file" "$top/$file"; then
		echo "$name: cannot be made: $file has changed"
		alive+=" $name"
	elif ! go test "$@" -run '^$' ./ring >"$tmp/out" 2>&1; then
		cat "$tmp/out"
		echo "$name: does not compile"
		alive+=" $name"
	elif timeout 300 go test -count=1 -failfast -timeout 240s "$@" -run "$tests" ./ring >"$tmp/out" 2>&1; then
		echo "$name: LIVES"
		alive+=" $name"
	else
		echo "$name: caught by $(grep -oE -m1 '^ *--- FAIL: [^ ]+|^panic: .*|^fatal error: .*' "$tmp/out" || tail -1 "$tmp/out")"
	fi
	cp "$top/$file" "$file"
	cd "$top"
}

hooks='^TestQueue(KillAtEveryStep|StopAtEveryStep|KillBesideAStopped)$'

# The protocol: who takes announces it, repair heeds the living, the dead's chunks
# come back, tasks are counted once.
mutant announcement ring/queue_take.go \
	's/\tmem\.StoreRelease\(&l\.pub\.taking, announce[^\n]*\n//' "$hooks" -tags sluice_hooks
mutant living-announcers ring/queue_repair.go \
	's/if live, _ := q\.announcers\(a\); live \{\n\t\treturn false[^\n]*\n\t\}/q.announcers(a)/' "$hooks" -tags sluice_hooks
mutant living-takers ring/queue_repair.go \
	's/case live:\n\t\t\t\treturn false[^\n]*\n//; s/switch live, dead := q\.announcers/switch _, dead := q.announcers/' "$hooks" -tags sluice_hooks
mutant dead-takers ring/queue_repair.go \
	's/case dead:\n\t\t\t\tq\.orphan[^\n]*\n//; s/switch live, dead := q\.announcers/switch live, _ := q.announcers/' "$hooks" -tags sluice_hooks
mutant epoch ring/queue_core.go \
	's/q\.ctl\.epoch\.Add\(1\)[^\n]*//' "$hooks" -tags sluice_hooks
mutant done-before-count ring/queue_finish.go \
	's/\tq\.setState\(m\.c, doneOf[^\n]*\n//' "$hooks" -tags sluice_hooks
mutant recount ring/queue_repair.go \
	's/\t\t\tq\.recount\(s\)\n//' "$hooks" -tags sluice_hooks
mutant chain-discard ring/queue_chain.go \
	's/\tl\.q\.setState\(head, stateOf\(kindDiscard[^\n]*\n//' "$hooks" -tags sluice_hooks
mutant head-last ring/queue_chain.go \
	's/\tl\.freeParts\(head\)\n\tl\.free\(head\)\n/\tl.free(head)\n\tl.freeParts(head)\n/' "$hooks" -tags sluice_hooks
mutant look-when-ours ring/queue_put.go \
	's/(func \(l \*lane\) publish.*?\n)(\t\thook\.At\("queue\.put\.look"\)\n)\t\tw, st := l\.room\(\)\n/$1$2\t\tw, st := wordOf(l.t.lap, wordEmpty, 0), done\n\t\tif again {\n\t\t\tw, st = l.room()\n\t\t}\n\t\tagain = true\n/s; s/(func \(l \*lane\) publish[^\n]*\n\tq := l\.q\n)/$1\tagain := false\n/' "$hooks" -tags sluice_hooks
mutant seal ring/queue_take.go \
	's/if !q\.word\(l\.h\.idx\)\.CompareAndSwap\(w, sealed\) \{[^\n]*\n\t\t\t\treturn taken\{\}, full\n\t\t\t\}//' '^Test(Queue|End|Close|Stopped)' -short -tags sluice_hooks
mutant dead-at-the-end ring/queue_take.go \
	's/\t\tif q\.peer\.AnyDead\(\) \{\n\t\t\treturn taken\{\}, empty\n\t\t\}\n//' '^TestEnd' -tags sluice_hooks

# Exclusion and order: histories tell.
mutant lost-race-taken ring/queue_take.go \
	's/(\/\/ changed finds the announcement too[^\n]*\n\t)if !(q\.word\(l\.h\.idx\)\.CompareAndSwap\([^\n]*?\)\)) \{/$1if !$2 \&\& false {/' '^TestQueueIsLinearizable$'
mutant lost-race-empty ring/queue_take.go \
	's/if m, st := l\.takeFrom\(w\); st != full \{\n\t\t\t\treturn m, st\n\t\t\t\}\n\t\t\tcontinue/m, st := l.takeFrom(w)\n\t\t\tif st == full {\n\t\t\t\tst = empty\n\t\t\t}\n\t\t\treturn m, st/' '^TestQueueIsLinearizable$'
mutant alloc-without-swap ring/queue_alloc.go \
	's/return p\.CompareAndSwap\(0, (stateOf\([^\n]*?\))\)( \/\/sync[^\n]*)?\n/p.Store($1)\n\treturn true\n/' '^TestQueueIsLinearizable$'
mutant adopt-without-swap ring/queue_take.go \
	's/if q\.state\(c\)\.CompareAndSwap\(s, (stateOf\(kindHeld, q\.me, pos\))\) \{/if q.state(c).Store($1); true {/' '^TestQueueIsLinearizable$'
mutant publish-without-swap ring/queue_put.go \
	's/if q\.word\(l\.t\.idx\)\.CompareAndSwap\(w, (wordOf\(l\.t\.lap, wordFull, c\))\) \{/_ = w\n\t\tif q.word(l.t.idx).Store($1); true {/' '^TestQueueIsLinearizable$'

# What a user sees.
mutant put-after-the-end ring/queue_close.go \
	's/q\.ctl\.closing\.Store\(1\)/q.ctl.closing.Store(0)/' '^TestQueueEnds$' -timeout 20s
mutant orphans-last ring/queue_take.go \
	's/signedDiff\(s&posMask, state&posMask, q\.size\.positions\(\)\) < 0/signedDiff(s\&posMask, state\&posMask, q.size.positions()) > 0/' '^TestQueueBehavesLikeAList$'
mutant close-keeps-tasks ring/queue_join.go \
	's/case q\.q\.closed\.Load\(\):/case false:/' '^TestCloseGivesTasksBack$'
mutant zero-unnoticed ring/queue_join.go \
	's/\t\tq\.ctl\.zero\.CompareAndSwap\(z, t\)[^\n]*\n//' '^TestJoinSeesEveryZero$' -timeout 20s
mutant zero-of-before ring/queue_join.go \
	's/ && signedDiff\(z, d\.from, d\.q\.size\.positions\(\)\) >= 0//; s/z != d\.zero && //' '^TestJoinSeesEveryZero$'

# A hostile peer.
mutant chunk-unchecked ring/queue_take.go \
	's/if int\(chunkOfWord\(w\)\) >= q\.geo\.chunks \{/if false {/' '^(FuzzQueueMemory|TestQueueSurvives)'
mutant part-unchecked ring/queue_chain.go \
	's/if int\(c\) >= q\.geo\.chunks \{\n\t\treturn false\n\t\}\n//' '^(FuzzQueueMemory|TestQueueSurvives)'
mutant length-unchecked ring/queue_chain.go \
	's/if n < 0 \|\| n > q\.maxMessage \{\n\t\treturn false\n\t\}\n//' '^TestMessageLongerThanPossible$'
mutant bool-as-it-is internal/mem/plain_unsafe.go \
	's/\tsettle\(own, p\.bools\)\n//' '^TestQueueNormalisesBools$'

if [ -n "$alive" ]; then
	echo "not caught:$alive"
	exit 1
fi
