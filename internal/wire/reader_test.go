package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A reader puts the parsers together as a server does, and writes down what it has read.
type reader struct {
	lim     Limits
	maxBody int64
	strict  bool

	p      RequestHead
	f      RequestFraming
	d      ChunkDecoder
	buf    []byte // begins with the request
	n      int    // length of the head; 0 before it is complete
	nhead  int    // fields of the head
	w, r   int
	events []string
}

func newReader() *reader { return &reader{lim: Limits{8 << 10, 32 << 10, 100}, maxBody: 1 << 20} }

// read takes one piece of what the client sends. It returns false after a refusal.
func (r *reader) read(piece string) bool {
	r.buf = append(r.buf, piece...)
	for len(r.buf) > 0 {
		done, bad := r.advance()
		if bad != nil {
			r.events = append(r.events, fmt.Sprintf("bad %d %v", bad.Status, bad))
			return false
		}
		if !done {
			break
		}
	}
	return true
}

// advance returns true when a request is complete.
func (r *reader) advance() (done bool, bad *Refusal) {
	if r.n == 0 {
		if r.n, bad = r.p.Parse(r.buf, &r.lim); r.n == 0 {
			return false, bad
		}
		r.nhead, r.w, r.r = len(r.p.Fields), r.n, r.n
		if bad = r.f.Read(r.buf, &r.p, nil); bad != nil {
			return false, bad
		}
		text, bad := r.describe()
		if bad != nil {
			return false, bad
		}
		r.events = append(r.events, "head "+text)
		if r.f.Length > r.maxBody {
			return false, ErrLongBody
		}
	}
	end, total := r.n+int(r.f.Length), r.n+int(r.f.Length)
	if r.f.Chunked {
		if !r.d.Ended() {
			if r.w, r.r, bad = r.d.Decode(r.buf, r.w, r.r, r.maxBody); bad != nil {
				return false, bad
			}
			if !r.d.Ended() {
				r.buf = r.buf[:r.w]
				r.r = r.w
				return false, nil
			}
			r.p.ResetTrailers(r.r)
		}
		lim := r.lim
		lim.Head += r.r
		end = r.w
		if total, bad = r.p.Parse(r.buf, &lim); total == 0 {
			return false, bad
		}
		if bad = CheckTrailers(r.buf, r.p.Fields[r.nhead:]); bad != nil {
			return false, bad
		}
	}
	if len(r.buf) < total {
		return false, nil
	}
	text, bad := r.describe()
	if bad != nil {
		return false, bad
	}
	text = fmt.Sprintf("message %s body=%q", text, r.buf[r.n:end])
	if trailers := r.p.Fields[r.nhead:]; len(trailers) > 0 {
		text += " trailers=" + fieldText(r.buf, trailers)
	}
	r.events = append(r.events, text)
	r.buf = r.buf[total:]
	r.p.Reset()
	r.n, r.f, r.d = 0, RequestFraming{}, ChunkDecoder{}
	return true, nil
}

func (r *reader) describe() (string, *Refusal) {
	b := r.buf
	u, bad := ParseTarget(string(r.p.Method.Of(b)), r.p.Target.Of(b))
	if bad == nil && r.strict {
		bad = u.CheckStrict()
	}
	if bad != nil {
		return "", bad
	}
	path, _, bad := DecodePath(nil, u.Path)
	if target := string(r.p.Target.Of(b)); r.p.Plain && (string(path) != target || u.Query != nil || u.CheckStrict() != nil) {
		return "", &Refusal{500, "a target that is not plain: " + target}
	}
	host := u.Host
	if host == nil && r.f.HasHost {
		host = r.f.Host.Of(b)
	}
	return fmt.Sprintf("%s %s path=%q query=%q host=%q 1.%d [%s]", r.p.Method.Of(b), r.p.Target.Of(b), path, u.Query, host,
		r.p.Minor, fieldText(b, r.p.Fields[:r.nhead])), bad
}

func fieldText(b []byte, fields []FieldSpan) string {
	var s strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&s, "%s=%s;", f.Name.Of(b), f.Value.Of(b))
	}
	return s.String()
}

// A wireCase is bytes of a peer, and what they must be read as. In in, "\n" stands for CR LF and
// "␊" for LF alone.
type wireCase struct {
	name string
	in   string
	want []string // parts of the events
}

func lines(in string) string {
	return strings.ReplaceAll(strings.ReplaceAll(in, "\n", "\r\n"), "␊", "\n")
}

// accepted is a case of one request that is taken.
func accepted(name, in, message string) wireCase {
	return wireCase{name, in, []string{"head ", message}}
}

// refused is a case that is refused with the status at the head.
func refused(name string, status int, in string) wireCase {
	return wireCase{name, in, []string{fmt.Sprint("bad ", status)}}
}

// cuts returns the input whole, cut in two at every byte (of long ones at every so many), and byte
// by byte.
func cuts(in string) [][]string {
	all := [][]string{{in}}
	for i := 1; i < len(in); i += 1 + len(in)/600 {
		all = append(all, []string{in[:i], in[i:]})
	}
	return append(all, strings.Split(in, ""))
}

// runCases checks that each case is read as it must be, however its bytes are split. Nothing is
// read after a refusal.
func runCases(t *testing.T, o reader, cases []wireCase) {
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			var whole []string
			for i, pieces := range cuts(lines(tt.in)) {
				r := o
				for _, piece := range pieces {
					if !r.read(piece) {
						break
					}
				}
				if i == 0 {
					whole = r.events
					wantEvents(t, whole, tt.want)
				} else if !slices.Equal(r.events, whole) {
					t.Fatalf("split as %q:\n%s\nwhole:\n%s", pieces, strings.Join(r.events, "\n"), strings.Join(whole, "\n"))
				}
			}
		})
	}
}

func wantEvents(t *testing.T, got, want []string) {
	t.Helper()
	ok := len(got) == len(want)
	for i := 0; ok && i < len(got); i++ {
		ok = strings.Contains(got[i], want[i])
	}
	if !ok {
		t.Fatalf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
