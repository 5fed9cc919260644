package main

import (
	"encoding/xml"
	"fmt"
	"image"
	"image/color"
	"math"
	"strconv"
	"strings"
)

// A drawing is what this program knows of SVG: a filled square with round corners, and one line
// with round ends on it.
type drawing struct {
	ViewBox string `xml:"viewBox,attr"`
	Rect    struct {
		Width float64 `xml:"width,attr"`
		Round float64 `xml:"rx,attr"`
		Fill  string  `xml:"fill,attr"`
	} `xml:"rect"`
	Path struct {
		D      string  `xml:"d,attr"`
		Stroke string  `xml:"stroke,attr"`
		Width  float64 `xml:"stroke-width,attr"`
	} `xml:"path"`
}

type point struct{ x, y float64 }

// shades is how many colours lie between the background and the line, and between the background
// and nothing. Up to 7 a pixel takes four bits of the file.
const shades = 5

// draw returns the picture of an SVG text, size pixels wide and high.
func draw(text []byte, size int) (*image.Paletted, error) {
	var d drawing
	if err := xml.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	if want := fmt.Sprintf("0 0 %v %v", d.Rect.Width, d.Rect.Width); d.ViewBox != want {
		return nil, fmt.Errorf("the viewBox is %q, not %q", d.ViewBox, want)
	}
	back, err := colour(d.Rect.Fill)
	if err != nil {
		return nil, err
	}
	front, err := colour(d.Path.Stroke)
	if err != nil {
		return nil, err
	}
	line, err := points(d.Path.D)
	if err != nil {
		return nil, err
	}
	// The palette goes from nothing to the background, and from there to the line.
	palette := make(color.Palette, 2*shades+1)
	for i := range palette {
		if i <= shades {
			back.A = uint8(255 * i / shades)
			palette[i] = back
		} else {
			palette[i] = mix(back, front, float64(i-shades)/shades)
		}
	}
	m := image.NewPaletted(image.Rect(0, 0, size, size), palette)
	scale := float64(size) / d.Rect.Width // pixels
	for y := range size {
		for x := range size {
			p := point{(float64(x) + 0.5) / scale, (float64(y) + 0.5) / scale}
			square := covered(scale * outside(p, d.Rect.Width, d.Rect.Round))
			stroke := covered(scale * (away(p, line) - d.Path.Width/2))
			i := math.Round(shades * square)
			if square == 1 {
				i += math.Round(shades * stroke)
			}
			m.SetColorIndex(x, y, uint8(i))
		}
	}
	return m, nil
}

// covered returns how much of a pixel lies in a shape whose edge is this far, in pixels. In the
// shape the distance is negative.
func covered(distance float64) float64 { return min(max(0.5-distance, 0), 1) }

// outside returns how far p is from a square with round corners at (0, 0).
func outside(p point, width, round float64) float64 {
	x, y := math.Abs(p.x-width/2)-width/2+round, math.Abs(p.y-width/2)-width/2+round
	return math.Hypot(max(x, 0), max(y, 0)) + min(max(x, y), 0) - round
}

// away returns how far p is from a line.
func away(p point, line []point) float64 {
	least := math.Inf(1)
	for i, a := range line[:len(line)-1] {
		b := line[i+1]
		dx, dy := b.x-a.x, b.y-a.y
		t := min(max(((p.x-a.x)*dx+(p.y-a.y)*dy)/(dx*dx+dy*dy), 0), 1)
		least = min(least, math.Hypot(p.x-a.x-t*dx, p.y-a.y-t*dy))
	}
	return least
}

// points reads the data of a path: M, H, h and l only.
func points(path string) ([]point, error) {
	var line []point
	var at point
	for rest := path; rest != ""; {
		command := rest[0]
		end := strings.IndexAny(rest[1:], "MHhl") + 1
		if end == 0 {
			end = len(rest)
		}
		n, err := numbers(rest[1:end])
		if err != nil {
			return nil, err
		}
		rest = rest[end:]
		switch {
		case command == 'M' && len(n) == 2:
			at = point{n[0], n[1]}
			line = append(line, at)
		case command == 'H' && len(n) == 1:
			at.x = n[0]
			line = append(line, at)
		case command == 'h' && len(n) == 1:
			at.x += n[0]
			line = append(line, at)
		case command == 'l' && len(n)%2 == 0:
			for ; len(n) > 0; n = n[2:] {
				at = point{at.x + n[0], at.y + n[1]}
				line = append(line, at)
			}
		default:
			return nil, fmt.Errorf("the path has %q with %d numbers", command, len(n))
		}
	}
	if len(line) < 2 {
		return nil, fmt.Errorf("the path %q is no line", path)
	}
	return line, nil
}

// numbers reads numbers that a space or a sign separates.
func numbers(text string) (list []float64, err error) {
	for _, s := range strings.Fields(strings.ReplaceAll(text, "-", " -")) {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// colour reads #rgb or #rrggbb.
func colour(text string) (color.NRGBA, error) {
	digits := strings.TrimPrefix(text, "#")
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	v, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || len(digits) != 6 {
		return color.NRGBA{}, fmt.Errorf("%q is no colour", text)
	}
	return color.NRGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), 255}, nil
}

// mix returns the colour that is part of the way from a to b.
func mix(a, b color.NRGBA, part float64) color.NRGBA {
	between := func(a, b uint8) uint8 { return uint8(math.Round(float64(a) + part*(float64(b)-float64(a)))) }
	return color.NRGBA{between(a.R, b.R), between(a.G, b.G), between(a.B, b.B), 255}
}
