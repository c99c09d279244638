// Package archtest holds the rules of the module that no compiler checks, as
// tests: what may import what, that nothing uses cgo, where unsafe and system
// calls may be, that every named ordering edge has both its ends, and a few
// measures of size. Each rule has trees that break it, and must notice.
//
// The rules read the source of all platforms, whatever the one they run on.
package archtest
