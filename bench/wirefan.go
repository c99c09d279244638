package main

func (c *copying) produce(who, n int) error {
	for i := 1; i <= n; i++ {
		if err := c.out.write(c.stamp(numberOf(who, i))); err != nil {
			return err
		}
	}
	return nil
}

func (c *copying) dismiss(consumers int) error {
	for range consumers {
		if err := c.out.write(c.stamp(farewell)); err != nil {
			return err
		}
	}
	return nil
}

func (c *copying) consume(t *tally) error {
	for {
		n, err := c.in.read(c.buf)
		if err != nil {
			return err
		}
		b := c.buf[:n]
		w := numberIn(b)
		if w == farewell {
			return nil
		}
		if err := c.accept(t, b, w); err != nil {
			return err
		}
	}
}
