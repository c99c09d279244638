package mem

import "runtime"

// PlainRelease says that processes of this architecture may publish with
// StoreRelease as a plain store, after which a load can overtake it. Who relies
// on seeing either the store or the answer to that load must make the other
// side pass a fence: package wait does, with the membarrier system call.
const PlainRelease = runtime.GOARCH == "amd64"
