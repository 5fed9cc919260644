// Command icons makes the PNG icons of the page from its SVG ones, for home screens that take no
// SVG: go generate ./examples/product.
package main

import (
	"bytes"
	"image"
	"image/png"
	"log"
	"os"
	"path/filepath"
)

// icons are the files to make.
var icons = []struct {
	name, drawing string
	size          int
}{
	{"icon-192.png", "favicon.svg", 192},
	{"apple-touch-icon.png", "maskable.svg", 180}, // iOS rounds the corners itself
}

func main() {
	const dir = "page"
	for _, i := range icons {
		text, err := os.ReadFile(filepath.Join(dir, i.drawing))
		if err != nil {
			log.Fatal(err)
		}
		m, err := draw(text, i.size)
		if err != nil {
			log.Fatalf("%s: %v", i.drawing, err)
		}
		if err := os.WriteFile(filepath.Join(dir, i.name), encode(m), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

func encode(m image.Image) []byte {
	var b bytes.Buffer
	e := png.Encoder{CompressionLevel: png.BestCompression}
	if err := e.Encode(&b, m); err != nil {
		log.Fatal(err) // a buffer takes all
	}
	return b.Bytes()
}
