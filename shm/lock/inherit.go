package lock

// Inherit implements shm.Inheritor, for package shm/proc.
func (*Mutex) Inherit(name string) (any, error) { return Inherited[Mutex](name, nil) }

// Inherit implements shm.Inheritor, for package shm/proc.
func (*RWMutex) Inherit(name string) (any, error) { return Inherited[RWMutex](name, nil) }

// Inherit implements shm.Inheritor, for package shm/proc.
func (*Semaphore) Inherit(name string) (any, error) { return Inherited[Semaphore](name, nil) }

// Inherit implements shm.Inheritor, for package shm/proc.
func (*Event) Inherit(name string) (any, error) { return Inherited[Event](name, nil) }

// Inherit implements shm.Inheritor, for package shm/proc.
func (*Barrier) Inherit(name string) (any, error) { return Inherited[Barrier](name, nil) }

// Inherit implements shm.Inheritor, for package shm/proc. It fails for a condition
// whose mutex is not its own: pass the two with shm.Pass.
func (*Cond) Inherit(name string) (any, error) { return Inherited[Cond](name, nil) }
