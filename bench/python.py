# Messages through a multiprocessing.Queue. Each line of standard input is
# PRODUCERS CONSUMERS EACH SIZE; the answer is how many messages have come, the
# sum of their numbers, and the seconds from the start of all until the last one
# had everything.
import multiprocessing, sys, time

context = multiprocessing.get_context("fork")


def produce(queue, start, who, each, size):
    body = bytes([7]) * (size - 9) + b"\x5a"
    start.wait()
    for i in range(1, each + 1):
        queue.put((who << 48 | i).to_bytes(8, "little") + body)


def consume(queue, start, results):
    count = total = 0
    start.wait()
    while (message := queue.get()) is not None:
        count += 1
        total += int.from_bytes(message[:8], "little")
    results.put((count, total, time.monotonic()))


for line in sys.stdin:
    producers, consumers, each, size = map(int, line.split())
    queue, results = context.Queue(), context.SimpleQueue()
    start = context.Barrier(producers + consumers + 1)
    senders = [context.Process(target=produce, args=(queue, start, k, each, size))
               for k in range(producers)]
    receivers = [context.Process(target=consume, args=(queue, start, results))
                 for _ in range(consumers)]
    for process in senders + receivers:
        process.start()
    start.wait()
    began = time.monotonic()
    for process in senders:
        process.join()
    for _ in receivers:
        queue.put(None)
    got = [results.get() for _ in receivers]
    for process in receivers:
        process.join()
    queue.close()
    queue.join_thread()
    print(sum(g[0] for g in got), sum(g[1] for g in got) % 2**64,
          max(g[2] for g in got) - began, flush=True)
