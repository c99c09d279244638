package main

import (
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// fanPlot shows the rates of fan-in, of the smallest size, side by side: a dot, and
// through it the range of its repetitions. nil: there are none.
func fanPlot(rows []row) (*plot.Plot, error) {
	var shown []row
	for _, r := range mostMeasured(rows) {
		if r.fan() && r.Msgs > 0 && (shown == nil || r.Size == shown[0].Size) {
			shown = append(shown, r)
		}
	}
	if shown == nil {
		return nil, nil
	}
	p := newPlot("fan-in of "+size(shown[0].Size)+", messages/s", count, nil)
	p.X.Label.Text, p.X.Scale = "", plot.LinearScale{}
	p.X.Min, p.X.Max = -0.5, float64(len(shown))-0.5
	var names plot.ConstantTicks
	for i, r := range shown {
		x := float64(i)
		names = append(names, plot.Tick{Value: x, Label: r.mark()})
		dot, err := plotter.NewScatter(plotter.XYs{{X: x, Y: r.Msgs}})
		if err != nil {
			return nil, err
		}
		span, err := plotter.NewLine(plotter.XYs{{X: x, Y: r.MsgsMin}, {X: x, Y: r.MsgsMax}})
		if err != nil {
			return nil, err
		}
		dot.Color, dot.Shape, dot.Radius = colourOf(r.Impl), draw.CircleGlyph{}, vg.Points(4)
		span.Color, span.Width, span.Dashes = dot.Color, vg.Points(1.5), dashes[r.Wait]
		p.Add(span, dot)
	}
	p.X.Tick.Marker = names
	p.X.Tick.Label.Rotation = math.Pi / 4
	p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = draw.XRight, draw.YCenter
	return p, nil
}

// mark is what stands under the row's dot.
func (r row) mark() string {
	name := r.Impl + " " + r.Wait
	if r.crew() != usualCrew {
		name += " " + r.crew().String()
	}
	if r.Kills > 0 {
		name += ", killed"
	}
	return name
}
