package main

import (
	"cmp"
	"image/color"
	"os"
	"regexp"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	plotWidth  = 7.5 * vg.Inch // of each
	plotHeight = 7 * vg.Inch
)

// colours tell implementations apart, by name, so that a picture of some looks
// like a picture of all. They are the palette of Okabe and Ito.
var colours = map[string]color.Color{
	"pipe":       color.RGBA{0x00, 0x72, 0xb2, 0xff},
	"pipe-batch": color.RGBA{0x56, 0xb4, 0xe9, 0xff},
	"pipe-conn":  color.RGBA{0x00, 0x9e, 0x73, 0xff},
	"queue":      color.RGBA{0xcc, 0x79, 0xa7, 0xff},

	"queue-batch":    color.RGBA{0x88, 0x22, 0x55, 0xff},
	"queue-unharmed": color.RGBA{0xe8, 0xbf, 0xd6, 0xff},

	"unix":       color.RGBA{0xd5, 0x5e, 0x00, 0xff},
	"unixpacket": color.RGBA{0xe6, 0x9f, 0x00, 0xff},
	"ospipe":     color.RGBA{0xb8, 0xa8, 0x00, 0xff},
	"chan":       color.RGBA{0x80, 0x80, 0x80, 0xff},
	"bare":       color.RGBA{0x40, 0x40, 0x40, 0xff},
}

// dashes tell the ways to wait apart.
var dashes = map[string][]vg.Length{
	waitSpin:     nil,
	waitBlock:    {vg.Points(6), vg.Points(3)},
	waitAdaptive: {vg.Points(2), vg.Points(2)},
}

// writePlots draws round trips and rates against the size, and fan-in, side by
// side. Each point is of the placement in which it was measured most often.
func writePlots(path string, rows []row, about []string) error {
	rtt := newPlot("round trip, p50", duration, about)
	rate := newPlot("one way, bytes/s", count, nil)
	err := addCurves(rtt, benchRTT, rows, func(r row) float64 {
		if r.P50 == nil {
			return 0
		}
		return *r.P50
	})
	if err == nil {
		err = addCurves(rate, benchThroughput, rows, func(r row) float64 { return r.Bytes })
	}
	if err != nil {
		return err
	}
	plots := [][]*plot.Plot{{rtt, rate}}
	fan, err := fanPlot(rows)
	if err != nil {
		return err
	}
	if fan != nil {
		plots[0] = append(plots[0], fan)
	}
	n := len(plots[0])
	canvas := vgsvg.New(vg.Length(n)*plotWidth, plotHeight)
	tiles := draw.Tiles{Rows: 1, Cols: n, PadX: vg.Points(24), PadTop: vg.Points(8),
		PadBottom: vg.Points(8), PadLeft: vg.Points(8), PadRight: vg.Points(16)}
	for i, c := range plot.Align(plots, tiles, draw.New(canvas))[0] {
		plots[0][i].Draw(c)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = canvas.WriteTo(f)
	return firstError(err, f.Close())
}

// newPlot returns an empty one, whose legend will be at the lower right: the
// curves rise.
func newPlot(y string, unit func(float64) string, about []string) *plot.Plot {
	p := plot.New()
	p.Title.Text = strings.Join(about, "\n")
	if about == nil {
		p.Title.Text = " "
	}
	p.Title.TextStyle.Font.Size = vg.Points(9)
	p.X.Label.Text, p.Y.Label.Text = "message size", y
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.Y.Tick.Marker = unitTicks(unit)
	p.Legend.TextStyle.Font.Size = vg.Points(9)
	p.Add(plotter.NewGrid())
	return p
}

// zeros are the decimals of a whole number.
var zeros = regexp.MustCompile(`\.0+`)

// unitTicks labels powers of ten with their unit.
type unitTicks func(float64) string

// Ticks implements plot.Ticker.
func (unit unitTicks) Ticks(low, high float64) []plot.Tick {
	ticks := plot.LogTicks{Prec: -1}.Ticks(low, high)
	for i, t := range ticks {
		if t.Label != "" {
			ticks[i].Label = zeros.ReplaceAllString(unit(t.Value), "")
		}
	}
	return ticks
}

// addCurves draws one curve for each implementation and way to wait. Points
// that are not positive cannot be shown on this scale and are left out.
func addCurves(p *plot.Plot, bench string, rows []row, y func(row) float64) error {
	type curve struct{ impl, wait string }
	var order []curve
	points := map[curve]plotter.XYs{}
	sizes := map[int]bool{}
	for _, r := range mostMeasured(rows) {
		v := y(r)
		if r.Bench != bench || v <= 0 {
			continue
		}
		c := curve{r.Impl, r.Wait}
		if points[c] == nil {
			order = append(order, c)
		}
		points[c] = append(points[c], plotter.XY{X: float64(r.Size), Y: v})
		sizes[r.Size] = true
	}
	p.X.Tick.Marker = sizeTicks(sizes)
	for _, c := range order {
		line, dots, err := plotter.NewLinePoints(points[c])
		if err != nil {
			return err
		}
		line.Width, line.Dashes = vg.Points(1.5), dashes[c.wait]
		line.Color = colourOf(c.impl)
		dots.Color, dots.Shape, dots.Radius = line.Color, draw.CircleGlyph{}, vg.Points(2)
		p.Add(line, dots)
		p.Legend.Add(c.impl+" "+c.wait, line)
	}
	return nil
}

func colourOf(impl string) color.Color {
	if c, ok := colours[impl]; ok {
		return c
	}
	return color.Black
}

// sizeTicks labels the sizes that there are.
func sizeTicks(sizes map[int]bool) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for n := range sizes {
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: size(n)})
	}
	return ticks
}

// mostMeasured keeps, of the rows of one measurement, the placement with most
// repetitions, and sorts by size.
func mostMeasured(rows []row) []row {
	best := map[spec]row{}
	var order []spec
	for _, r := range rows {
		b, seen := best[r.spec]
		if !seen {
			order = append(order, r.spec)
		}
		if !seen || r.N > b.N {
			best[r.spec] = r
		}
	}
	var kept []row
	for _, s := range order {
		kept = append(kept, best[s])
	}
	slices.SortStableFunc(kept, func(a, b row) int { return cmp.Compare(a.Size, b.Size) })
	return kept
}
