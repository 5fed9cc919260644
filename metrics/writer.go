package metrics

import (
	"math"
	"strconv"
	"strings"
)

// A Writer makes text in the format of Prometheus, version 0.0.4. The samples of one metric, with
// different labels, must be written one after the other.
type Writer struct {
	b    []byte
	last string // the metric whose HELP and TYPE lines were written last
}

// Bytes returns what was written; valid until the next call of another method.
func (w *Writer) Bytes() []byte { return w.b }

// Counter writes a sample of a value that only rises. By custom its name ends in _total. labels are
// pairs of name and value. Counter panics on a name that Prometheus does not accept, and on a label
// without a value.
func (w *Writer) Counter(name, help string, value float64, labels ...string) {
	w.head(name, help, "counter")
	w.sample(name, "", value, labels)
}

// Gauge is Counter for a value that rises and falls.
func (w *Writer) Gauge(name, help string, value float64, labels ...string) {
	w.head(name, help, "gauge")
	w.sample(name, "", value, labels)
}

// Histogram writes a histogram. bounds are upper bounds, in rising order. counts[i] is the number
// of values above bounds[i-1] and up to bounds[i]; counts has one entry more than bounds, for the
// values above the last. sum is the sum of all values.
func (w *Writer) Histogram(name, help string, bounds []float64, counts []uint64, sum float64, labels ...string) {
	if len(counts) != len(bounds)+1 {
		panic("metrics: histogram " + name + ": counts needs one entry more than bounds")
	}
	w.head(name, help, "histogram")
	var n uint64
	for i, c := range counts {
		n += c
		bound := math.Inf(1)
		if i < len(bounds) {
			bound = bounds[i]
		}
		w.sample(name, "_bucket", float64(n), append(labels[:len(labels):len(labels)], "le", format(bound)))
	}
	w.sample(name, "_sum", sum, labels)
	w.sample(name, "_count", float64(n), labels)
}

func (w *Writer) head(name, help, kind string) {
	if !isName(name, true) {
		panic("metrics: " + strconv.Quote(name) + " is no name of a metric")
	}
	if w.last == name {
		return
	}
	w.last = name
	w.b = append(append(append(w.b, "# HELP "...), name...), ' ')
	w.b = append(w.b, helpText.Replace(help)...)
	w.b = append(append(append(w.b, "\n# TYPE "...), name...), ' ')
	w.b = append(append(w.b, kind...), '\n')
}

func (w *Writer) sample(name, suffix string, value float64, labels []string) {
	w.b = append(append(w.b, name...), suffix...)
	for i := 0; i < len(labels); i += 2 {
		if i+1 == len(labels) || !isName(labels[i], false) {
			panic("metrics: " + name + ": labels are pairs of name and value")
		}
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		w.b = append(append(w.b, sep), labels[i]...)
		w.b = append(w.b, '=', '"')
		w.b = append(append(w.b, labelText.Replace(labels[i+1])...), '"')
	}
	if len(labels) > 0 {
		w.b = append(w.b, '}')
	}
	w.b = append(append(append(w.b, ' '), format(value)...), '\n')
}

var (
	helpText  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelText = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

// format writes v in a form that Prometheus reads. Whole numbers have no exponent, since people
// read this text, too.
func format(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case v == math.Trunc(v) && math.Abs(v) < 1<<53:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// isName reports whether s is the name of a metric, which may have colons, or of a label.
func isName(s string, colons bool) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || colons && c == ':'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
