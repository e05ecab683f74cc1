package soak

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// WriteCSV writes samples as a table, a line each.
func WriteCSV(w io.Writer, samples []Sample) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"seconds", "stored", "messages", "bytes", "disk", "wal", "table", "dead"}}
	for i := range samples {
		s := &samples[i]
		row := []string{strconv.FormatFloat(s.After.Seconds(), 'f', 1, 64)}
		for _, n := range []int64{s.Stored, s.Messages, s.Bytes, s.Disk, s.WAL, s.Table, s.Dead} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		rows = append(rows, row)
	}
	return out.WriteAll(rows)
}

// The measures of a plot, in pixels.
const (
	plotWidth, plotHeight           = 720, 360
	plotLeft, plotTop               = 70, 40
	plotInnerWidth, plotInnerHeight = plotWidth - plotLeft - 20, plotHeight - plotTop - 60
)

// line is one curve of a plot.
type line struct {
	name, colour string
	of           func(*Sample) int64
}

func lines(messageBytes int64) []line {
	return []line{
		{"ever stored", "#999999", func(s *Sample) int64 { return s.Stored * messageBytes }},
		{"kept", "#2a7f3f", func(s *Sample) int64 { return s.Bytes }},
		{"files without the WAL", "#1f5fa8", func(s *Sample) int64 { return s.Disk }},
		{"table of messages", "#c0562b", func(s *Sample) int64 { return s.Table }},
		{"WAL", "#8a5fb0", func(s *Sample) int64 { return s.WAL }},
	}
}

// WriteSVG draws the sizes over time. What was ever stored is drawn as far as it fits: it leaves the picture.
func WriteSVG(w io.Writer, title string, messageBytes int, samples []Sample) error {
	if len(samples) < 2 {
		return fmt.Errorf("%d samples are no plot", len(samples))
	}
	curves := lines(int64(messageBytes))
	end, top := samples[len(samples)-1].After.Seconds(), int64(1)
	for i := range samples {
		for _, c := range curves[1:] {
			top = max(top, c.of(&samples[i]))
		}
	}
	top += top / 5
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/><text x="%d" y="20" font-size="14">%s</text>`+"\n", plotWidth, plotHeight, plotLeft, title)
	for i := range 5 {
		y := plotTop + plotInnerHeight*i/4
		fmt.Fprintf(&b, `<path d="M%d %dh%d" stroke="#dddddd"/><text x="%d" y="%d" text-anchor="end">%d MB</text>`+"\n",
			plotLeft, y, plotInnerWidth, plotLeft-6, y+4, top*int64(4-i)/4/1_000_000)
		x := plotLeft + plotInnerWidth*i/4
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%.0f s</text>`+"\n", x, plotTop+plotInnerHeight+18, end*float64(i)/4)
	}
	for i, c := range curves {
		if points := c.points(samples, end, top); points != "" {
			fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>`+"\n", c.colour, points)
			fmt.Fprintf(&b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", plotLeft+130*i, plotHeight-12, c.colour, c.name)
		}
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// points are those of a curve that lie in the picture, none if it has no values.
func (c *line) points(samples []Sample, end float64, top int64) string {
	var points []string
	some := false
	for i := range samples {
		v := c.of(&samples[i])
		some = some || v > 0
		if v > top {
			break
		}
		x := plotLeft + plotInnerWidth*samples[i].After.Seconds()/end
		y := float64(plotTop) + float64(plotInnerHeight)*(1-float64(v)/float64(top))
		points = append(points, fmt.Sprintf("%.1f,%.1f", x, y))
	}
	if !some {
		return ""
	}
	return strings.Join(points, " ")
}
