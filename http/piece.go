package http

import (
	"bytes"
	"math"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// A piece is the place of the body of an upload in the whole, as its head says.
type piece struct {
	offset int64
	length int64 // of the body; -1 if it is not known
	total  int64 // of the whole; -1 if it is not known
	last   bool  // the client says that the whole ends with this body
}

type pieceError string

func (e pieceError) Error() string { return "http: save body: " + string(e) }

// placed reports whether r says that its body may be a part of a whole.
func (r *Request) placed() bool {
	for _, name := range [...]string{"Content-Range", "Upload-Offset", "Upload-Complete", "Upload-Length"} {
		if r.Header(name) != nil {
			return true
		}
	}
	return false
}

// parsePiece reads Content-Range (RFC 9110 14.4), or Upload-Offset, Upload-Complete and
// Upload-Length (the fields of the IETF's Resumable Uploads for HTTP), of a request whose body has
// length bytes, or -1 for any number. A request without them has the whole, but a PATCH needs one
// of them.
func parsePiece(r *Request, bodyLength int64) (p piece, err error) {
	p = piece{length: bodyLength, total: -1, last: true}
	crange, ranges := r.only("Content-Range")
	offset, offsets := r.only("Upload-Offset")
	complete, completes := r.only("Upload-Complete")
	length, lengths := r.only("Upload-Length")
	ok := true
	switch {
	case ranges > 1 || offsets > 1 || completes > 1 || lengths > 1:
		return p, pieceError("a field that says where the body belongs is there twice")
	case ranges == 1 && offsets+completes+lengths > 0:
		return p, pieceError("Content-Range together with Upload-Offset, Upload-Complete or Upload-Length")
	case ranges == 1:
		var end int64
		if p.offset, end, p.total, ok = parseContentRange(crange); !ok {
			return p, pieceError("malformed Content-Range")
		}
		if p.length >= 0 && p.length != end-p.offset {
			return p, pieceError("Content-Range and Content-Length do not agree")
		}
		p.length, p.last = end-p.offset, end == p.total
		return p, nil
	case offsets == 0 && r.Method == "PATCH":
		return p, pieceError("a PATCH needs Content-Range or Upload-Offset")
	}
	if offsets == 1 {
		p.offset, ok = parseCount(offset)
	}
	if ok && lengths == 1 {
		p.total, ok = parseCount(length)
	}
	if ok && completes == 1 {
		// RFC 9651 3.3.6: a boolean is "?0" or "?1".
		p.last = string(complete) == "?1"
		ok = p.last || string(complete) == "?0"
	}
	if !ok {
		return p, pieceError("malformed Upload-Offset, Upload-Complete or Upload-Length")
	}
	if p.last && p.total < 0 && p.length >= 0 {
		p.total = p.offset + p.length
	}
	if p.length >= 0 && p.total >= 0 && (p.offset+p.length > p.total || p.last && p.offset+p.length < p.total) {
		return p, pieceError("the body and Upload-Length do not agree")
	}
	return p, nil
}

// isWhole reports whether p is the whole.
func (p *piece) isWhole() bool { return p.offset == 0 && p.last }

// parseContentRange reads "bytes" SP first "-" last "/" ( total / "*" ) (RFC 9110 14.4). total is
// -1 for "*"; end is the offset after the last byte.
func parseContentRange(v []byte) (first, end, total int64, ok bool) {
	unit, rest, ok := bytes.Cut(v, []byte(" "))
	span, whole, found := bytes.Cut(wire.Trim(rest), []byte("/"))
	from, to, dash := bytes.Cut(span, []byte("-"))
	if !ok || !wire.FoldEqual(unit, "bytes") || !found || !dash {
		return 0, 0, 0, false
	}
	first, ok1 := parseCount(from)
	last, ok2 := parseCount(to)
	total, ok3 := int64(-1), true
	if string(whole) != "*" {
		total, ok3 = parseCount(whole)
	}
	if !ok1 || !ok2 || !ok3 || last < first || total >= 0 && last >= total {
		return 0, 0, 0, false
	}
	return first, last + 1, total, true
}

// maxCount keeps the sum of two counts inside an int64.
const maxCount = math.MaxInt64 / 4

// parseCount reads digits, up to maxCount.
func parseCount(v []byte) (n int64, ok bool) {
	for _, x := range v {
		if !wire.IsDigit(x) || n > maxCount/10-1 {
			return 0, false
		}
		n = n*10 + int64(x-'0')
	}
	return n, len(v) > 0
}
