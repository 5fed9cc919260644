package main

import (
	"html/template"
	"io"
	"strings"
)

// A bar is one server in a chart; the lengths are in pixels.
type bar struct {
	Server, Label, Colour string
	Y, Text, Length       int
}

const (
	barHeight = 22
	barWidth  = 460 // of the longest
)

// colours are fixed, so that a server looks the same in every chart.
var colours = map[string]string{"floor": "#9aa0a6", "mangusta": "#d9542b", "net/http": "#4878a8", "fasthttp": "#59a14f", "gws": "#8a6bbe",
	"gorilla": "#b07a5a", "coder": "#4fa6a6", "gobwas": "#c2a13b", "gnet": "#7a8f3c", "nbio": "#c46a94"}

// Bars lays out the chart of t. The longest bars are cut where one server would press all others
// flat.
func (t table) Bars() []bar {
	longest := 0.0
	for _, r := range t.Rows {
		longest = max(longest, r.Cost)
	}
	if own := t.own(); own > 0 {
		longest = min(longest, 6*own)
	}
	var bars []bar
	for i, r := range t.Rows {
		b := bar{Server: r.Server, Label: label(t.what, r), Y: i * barHeight, Text: i*barHeight + 15, Colour: "#777"}
		if c := colours[strings.Fields(r.Server)[0]]; c != "" {
			b.Colour = c
		}
		if longest > 0 {
			b.Length = max(1, int(min(1, r.Cost/longest)*barWidth))
		}
		bars = append(bars, b)
	}
	return bars
}

// Height of the chart in pixels.
func (t table) Height() int { return len(t.Rows) * barHeight }

// own returns what mangusta costs.
func (t table) own() float64 {
	for _, r := range t.Rows {
		if strings.HasPrefix(r.Server, "mangusta") {
			return r.Cost
		}
	}
	return 0
}

func label(what measure, r row) string {
	if r.Cost == 0 {
		return "invalid"
	}
	s := number(2, func(r row) float64 { return r.Cost })(r)
	if what == perIdle {
		s = number(0, func(r row) float64 { return r.Cost })(r)
	}
	if r.Floor != 0 {
		s += ", " + ratio(func(r row) float64 { return r.Floor })(r) + " × floor"
	}
	if r.Invalid != "" {
		s += " (has invalid rounds)"
	}
	return s
}

// draw writes the charts as one page.
func (rep *report) draw(w io.Writer) error { return page.Execute(w, rep) }

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>mangusta beside its peers</title>
<style>
body { font: 14px/1.4 system-ui, sans-serif; max-width: 52em; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
h2 { font-size: 1em; margin: 2em 0 .2em } p { margin: 0 0 .6em; color: #555 } svg { width: 100%; height: auto } text { font: 12px system-ui, sans-serif }
</style>
<h1>mangusta beside its peers</h1>
<p>{{.System}}, {{.Go}}, {{.When}} UTC, rounds: {{.Rounds}}, medians. Shorter is better. A bar six times as long as mangusta's or longer is cut.</p>
{{range .Works}}
<h2>{{.Title}}</h2>
<p>{{.What}}</p>
<svg viewBox="0 0 820 {{.Height}}" role="img" aria-label="{{.Title}}">
{{range .Bars}}<text x="150" y="{{.Text}}" text-anchor="end">{{.Server}}</text>
<rect x="160" y="{{.Y}}" width="{{.Length}}" height="18" rx="2" fill="{{.Colour}}"></rect>
<text x="168" y="{{.Text}}" dx="{{.Length}}">{{.Label}}</text>
{{end}}</svg>
{{end}}
</html>
`))
