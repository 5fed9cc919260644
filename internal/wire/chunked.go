package wire

var (
	errChunkSize = &Refusal{400, "malformed chunk size"}
	errChunkExt  = &Refusal{400, "malformed chunk extension"}
	errLongExt   = &Refusal{400, "chunk extensions too long"}
	errChunkEnd  = &Refusal{400, "chunk not ended by CRLF"}
	ErrLongBody  = &Refusal{413, "body too long"}
	errTrailer   = &Refusal{400, "field not allowed in a trailer section"}
)

const (
	maxSizeDigits = 16 // of a chunk size, leading zeros included
	// Extensions mean nothing to us and may be no more than this, plus a sixteenth of the data they
	// came with.
	maxExtension = 16 << 10
)

type chunkStep uint8

const (
	chunkSize     chunkStep = iota // the first digit of a size
	chunkDigits                    // further digits, an extension or CR
	chunkBeforeSC                  // white space; a ";" must follow
	chunkExtName                   // white space, then the first byte of an extension name
	chunkInName                    // rest of that name
	chunkAfterNm                   // white space; "=" or ";" must follow
	chunkExtValue                  // white space, then the first byte of a value
	chunkInToken                   // rest of a token value
	chunkInQuote                   // rest of a quoted value
	chunkEscaped                   // the byte after a backslash
	chunkQuoted                    // after the closing quote
	chunkSizeLF                    // the LF of the size line
	chunkData                      // left bytes of data
	chunkDataCR                    // the CR after the data
	chunkDataLF                    // and its LF
	chunkTrailers                  // the last chunk has been read: the trailer section begins
)

// A ChunkDecoder takes the chunked coding off a body (RFC 9112 7.1), in place. It is pure and keeps
// no bytes.
type ChunkDecoder struct {
	step      chunkStep
	digits    uint8
	left      int64 // of the chunk, or its size so far
	Announced int64 // data bytes of all chunks that have been announced
	ext       int64 // bytes of extensions
}

// Decode reads b from r on and moves the data it finds down to w, until b is used up or the trailer
// section begins. It returns both indices: the data ends at w, and r is what has been read. The
// body may be no longer than limit.
func (d *ChunkDecoder) Decode(b []byte, w, r int, limit int64) (int, int, *Refusal) {
	for r < len(b) && d.step != chunkTrailers {
		if d.step == chunkData {
			n := int(min(d.left, int64(len(b)-r)))
			if w != r {
				copy(b[w:], b[r:r+n])
			}
			w, r = w+n, r+n
			if d.left -= int64(n); d.left == 0 {
				d.step = chunkDataCR
			}
			continue
		}
		if bad := d.line(b[r], limit); bad != nil {
			return w, r, bad
		}
		r++
	}
	return w, r, nil
}

// Run returns where the first piece of data in b begins and ends, and reads up to its end; without
// one, start and end are what has been read.
func (d *ChunkDecoder) Run(b []byte, limit int64) (start, end int, bad *Refusal) {
	for start < len(b) && d.step != chunkTrailers {
		if d.step == chunkData {
			n := int(min(d.left, int64(len(b)-start)))
			if d.left -= int64(n); d.left == 0 {
				d.step = chunkDataCR
			}
			return start, start + n, nil
		}
		if bad := d.line(b[start], limit); bad != nil {
			return start, start, bad
		}
		start++
	}
	return start, start, nil
}

// Ended reports whether the last chunk has been read: the trailer section begins.
func (d *ChunkDecoder) Ended() bool { return d.step == chunkTrailers }

// line takes one byte of what is not data.
func (d *ChunkDecoder) line(x byte, limit int64) *Refusal {
	switch d.step {
	case chunkSize, chunkDigits:
		return d.size(x)
	case chunkSizeLF:
		if x != '\n' {
			return errBareCR
		}
		return d.sizeDone(limit)
	case chunkDataCR:
		if x != '\r' {
			return errChunkEnd
		}
		d.step = chunkDataLF
	case chunkDataLF:
		if x != '\n' {
			return errChunkEnd
		}
		d.step, d.left, d.digits = chunkSize, 0, 0
	default:
		return d.extension(x)
	}
	return nil
}

// size takes a byte of chunk-size = 1*HEXDIG, or the byte after it.
func (d *ChunkDecoder) size(x byte) *Refusal {
	if classes[x]&HexByte != 0 {
		if d.digits == maxSizeDigits || d.left>>58 != 0 {
			return errChunkSize
		}
		d.left = d.left<<4 | int64(Unhex(x))
		d.digits++
		d.step = chunkDigits
		return nil
	}
	switch {
	case d.step == chunkSize:
		return errChunkSize
	case x == '\r':
		d.step = chunkSizeLF
	case x == ';':
		d.step = chunkExtName
	case IsSpace(x):
		// RFC 9112 7.1.1: bad white space before the ";" of an extension must be parsed. After
		// a bare size it is an error.
		d.step = chunkBeforeSC
	case x == '\n':
		return errBareLF
	default:
		return errChunkSize
	}
	return nil
}

func (d *ChunkDecoder) sizeDone(limit int64) *Refusal {
	switch {
	case d.left == 0:
		d.step = chunkTrailers
	case d.left > limit-d.Announced:
		return ErrLongBody
	default:
		d.Announced += d.left
		d.step = chunkData
	}
	return nil
}

// extension takes a byte of chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ]
// ) (RFC 9112 7.1.1). An extension that is read loosely is one that an intermediary may read
// otherwise.
func (d *ChunkDecoder) extension(x byte) *Refusal {
	if d.ext++; d.ext > maxExtension+d.Announced/16 {
		return errLongExt
	}
	token := classes[x]&TokenByte != 0
	switch s := d.step; {
	case s == chunkEscaped && classes[x]&ValueByte != 0:
		d.step = chunkInQuote
	case s == chunkInQuote && x == '\\':
		d.step = chunkEscaped
	case s == chunkInQuote && x == '"':
		d.step = chunkQuoted
	case s == chunkInQuote && classes[x]&ValueByte != 0:
	case s == chunkInQuote || s == chunkEscaped:
		return errChunkExt
	case IsSpace(x):
		switch s {
		case chunkInName:
			d.step = chunkAfterNm
		case chunkInToken, chunkQuoted:
			d.step = chunkBeforeSC
		}
	case token && (s == chunkExtName || s == chunkInName):
		d.step = chunkInName
	case token && (s == chunkExtValue || s == chunkInToken):
		d.step = chunkInToken
	case x == '"' && s == chunkExtValue:
		d.step = chunkInQuote
	case x == '=' && (s == chunkInName || s == chunkAfterNm):
		d.step = chunkExtValue
	case x == ';' && s != chunkExtName && s != chunkExtValue:
		d.step = chunkExtName
	case x == '\r' && (s == chunkInName || s == chunkInToken || s == chunkQuoted):
		d.step = chunkSizeLF
	case x == '\n':
		return errBareLF
	default:
		return errChunkExt
	}
	return nil
}

// CheckTrailers refuses the fields that RFC 9110 6.5.1 keeps out of trailer sections: those for
// framing, routing, request modifiers, authentication and the form of the content.
func CheckTrailers(b []byte, fields []FieldSpan) *Refusal {
	for _, f := range fields {
		if !InTrailers(f.Name.Of(b)) {
			return errTrailer
		}
	}
	return nil
}

// InTrailers reports whether a field of that name may be in a trailer section.
func InTrailers(name []byte) bool {
	for _, not := range notInTrailers {
		if FoldEqual(name, not) {
			return false
		}
	}
	return true
}

var notInTrailers = []string{
	"Transfer-Encoding", "Content-Length", "Host", "Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade",
	"Cache-Control", "Expect", "Max-Forwards", "Pragma", "Range",
	"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range",
	"Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "Forwarded",
	"Content-Encoding", "Content-Type", "Content-Range",
}
