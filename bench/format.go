package main

import "fmt"

// optional formats what may not have been measured.
func optional(v *float64, format func(float64) string) string {
	if v == nil {
		return "-"
	}
	return format(*v)
}

// duration formats nanoseconds, to three digits.
func duration(ns float64) string {
	return scaled(ns, 1000, " ns", " µs", " ms", " s")
}

// count formats a rate, to three digits.
func count(n float64) string {
	return scaled(n, 1000, "", " k", " M", " G", " T")
}

func scaled(v, step float64, units ...string) string {
	for len(units) > 1 && v >= 999.5 {
		v /= step
		units = units[1:]
	}
	return digits(v) + units[0]
}

// digits formats v to three digits.
func digits(v float64) string {
	switch {
	case v >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case v >= 9.995:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// times formats a ratio.
func times(x float64) string { return "×" + digits(x) }

// size formats bytes in powers of two.
func size(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}
