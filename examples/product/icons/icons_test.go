package main

import (
	"bytes"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

// The icons in the tree are those of the drawings: after a change of one, go generate is due.
func TestTheIconsAreThoseOfTheDrawings(t *testing.T) {
	const dir = "../page"
	for _, i := range icons {
		text, err := os.ReadFile(filepath.Join(dir, i.drawing))
		if err != nil {
			t.Fatal(err)
		}
		want, err := draw(text, i.size)
		if err != nil {
			t.Fatalf("%s: %v", i.drawing, err)
		}
		made, err := os.ReadFile(filepath.Join(dir, i.name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := png.Decode(bytes.NewReader(made))
		if err != nil || got.Bounds() != want.Bounds() {
			t.Fatalf("%s: %v, %v", i.name, got.Bounds(), err)
		}
		for y := range i.size {
			for x := range i.size {
				if color.NRGBAModel.Convert(got.At(x, y)) != want.At(x, y) {
					t.Fatalf("%s is not the one of %s: at %d, %d: run go generate ./examples/product", i.name, i.drawing, x, y)
				}
			}
		}
	}
}

func TestDrawRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, text := range []string{
		`<svg`,
		`<svg viewBox="0 0 32 16"><rect width="32" fill="#fff"/></svg>`,
		`<svg viewBox="0 0 32 32"><rect width="32" fill="red"/></svg>`,
		`<svg viewBox="0 0 32 32"><rect width="32" fill="#fff"/><path stroke="#12"/></svg>`,
		`<svg viewBox="0 0 32 32"><rect width="32" fill="#fff"/><path stroke="#000" d="M1 1"/></svg>`,
		`<svg viewBox="0 0 32 32"><rect width="32" fill="#fff"/><path stroke="#000" d="M1 1c2 2"/></svg>`,
		`<svg viewBox="0 0 32 32"><rect width="32" fill="#fff"/><path stroke="#000" d="M1 1h2 3"/></svg>`,
	} {
		if _, err := draw([]byte(text), 16); err == nil {
			t.Errorf("it draws %s", text)
		}
	}
}
