//go:build !sluice_hooks

package hook

// Enabled reports whether the program was built with the tag sluice_hooks.
const Enabled = false

// At marks the step that comes next. In this build it is nothing.
func At(step string) {}

// Set registers f for each arrival. In this build nothing ever arrives.
func Set(f func(step string)) {}

// Steps returns the names of the steps reached. In this build it is nil.
func Steps() []string { return nil }

// Count returns how often a step was reached. In this build it is 0.
func Count(step string) int { return 0 }
