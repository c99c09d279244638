package ring

import "context"

// overflow does what the options say about a message that could not be put.
func (l *lane) overflow(ctx context.Context, b []byte, st status, block bool) status {
	q := l.q
	if st != full && st != short {
		return st
	}
	switch q.opts.WhenFull {
	case DropNewest:
		q.ctl.count.dropped.Add(1)
		return done
	case DropOldest:
		return l.makeRoom(ctx, block, st, func() status { return l.put(b) })
	}
	return st
}

// makeRoom drops the oldest message until try, which puts one, has room or there
// is nothing left to drop. st says what there was no room for: when it was the ring
// that was full an orphan is of no use, since it has no place there.
func (l *lane) makeRoom(ctx context.Context, block bool, st status, try func() status) status {
	q := l.q
	most := 2 * q.geo.chunks
	if !block { // what is more than the ring holds others put there meanwhile
		most = min(most, int(q.size.n)+adoptTries)
	}
	for n := 1; n <= most; n++ {
		was := st
		m, got := l.oldest(was)
		if got == done {
			q.ctl.count.dropped.Add(1)
			l.release(m)
			q.wakeSpace()
		}
		st = try()
		if st != full && st != short || got != done && was == short && st == short || got == corrupt {
			break
		}
		if n%adoptTries == 0 && q.given(ctx) != nil {
			break
		}
	}
	return st
}

// oldest takes what is to be dropped for a message that st kept from being put.
func (l *lane) oldest(st status) (taken, status) {
	if st == full {
		return l.takeNext(false)
	}
	return l.take()
}
