//go:build linux

package ring

import (
	"context"
	"testing"
)

// far sets the ring as it is after more than half of all positions have been put
// and taken by others, while the lanes of q did nothing.
func far(q *queue) {
	lap := q.size.laps/2 + 5
	for i := range q.words {
		q.words[i].Store(wordOf(lap, wordEmpty, 0))
	}
}

func TestQueueUsedAfterHalfTheWrap(t *testing.T) {
	for name, use := range map[string]func(*Queue[int64]) error{
		"put": func(q *Queue[int64]) error { return q.TryPut(1) },
		"put a batch": func(q *Queue[int64]) error {
			_, err := q.TryPutBatch([]int64{1, 2})
			return err
		},
		"get": func(q *Queue[int64]) error {
			if _, err := q.TryGet(); err != ErrEmpty {
				return err
			}
			return nil
		},
		"flush": func(q *Queue[int64]) error { return q.Flush(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			q, err := AnonymousQueue[int64]("stale", &QueueOptions{Capacity: 128})
			if err != nil {
				t.Fatal(err)
			}
			defer q.Close()
			q.TryPut(1)
			q.TryGet()
			far(q.q)
			if err := use(q); err != nil {
				t.Error(err)
			}
			if err := q.TryPut(7); err != nil {
				t.Error(err)
			}
		})
	}
}
