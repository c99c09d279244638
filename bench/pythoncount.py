# Two processes that count together under the lock of a multiprocessing.Value.
# Each line of standard input is for how many seconds; the answer is how many
# turns each has had, what the value is in the end, and how long it took. Each
# stays on a CPU of its own.
import multiprocessing, os, sys, time

context = multiprocessing.get_context("fork")


def count(value, start, results, who, seconds):
    if hasattr(os, "sched_setaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cpus[who % len(cpus)]})
    turns = 0
    start.wait()
    began = time.monotonic()
    end = began + seconds
    while time.monotonic() < end:
        for _ in range(64):
            with value.get_lock():
                value.value += 1
        turns += 64
    results.put((who, turns, began, time.monotonic()))


for line in sys.stdin:
    value, results = context.Value("q", 0), context.SimpleQueue()
    start = context.Barrier(2)
    counters = [context.Process(target=count, args=(value, start, results, k, float(line)))
                for k in range(2)]
    for process in counters:
        process.start()
    got = sorted(results.get() for _ in counters)
    for process in counters:
        process.join()
    print(got[0][1], got[1][1], value.value,
          max(g[3] for g in got) - min(g[2] for g in got), flush=True)
