package update

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"

	"aead.dev/minisign"
	"github.com/seed4930a636/mangusta/device/internal/rest"
)

// These errors say why an update is refused.
var (
	ErrSignature = rest.Coded("signature", "update: the signature is not by a key that this device trusts")
	ErrBoard     = rest.Coded("board", "update: this is for another board")
	ErrOlder     = rest.Coded("older", "update: this is not newer than what runs")
	ErrSize      = rest.Coded("size", "update: the size is not acceptable")
)

// maxSignature bounds a signature file: four lines.
const maxSignature = 4 << 10

// An Image is what a signature says of a program.
type Image struct {
	Version string `json:"version"`
	Board   string `json:"board"`
}

// A signature is a minisign signature whose comment was found authentic.
type signature struct {
	Image
	text []byte
	key  minisign.PublicKey
}

// readSignature checks text, all but whether it is that of the program.
func readSignature(text []byte, keys []minisign.PublicKey) (*signature, error) {
	s, comment, err := readComment(text, keys)
	if err != nil {
		return nil, err
	}
	s.Image, err = readImage(comment)
	return s, err
}

// readComment checks text, all but whether it is the signature of what it is with, and returns its
// trusted comment.
func readComment(text []byte, keys []minisign.PublicKey) (s *signature, comment string, err error) {
	var sig minisign.Signature
	if len(text) > maxSignature || sig.UnmarshalText(text) != nil || sig.Algorithm != minisign.HashEdDSA {
		return nil, "", ErrSignature
	}
	signed := append(sig.Signature[:], sig.TrustedComment...)
	for _, k := range keys {
		raw, err := rawKey(k)
		if err != nil {
			return nil, "", err
		}
		if k.ID() == sig.KeyID && ed25519.Verify(raw, signed, sig.CommentSignature[:]) {
			return &signature{text: bytes.Clone(text), key: k}, sig.TrustedComment, nil
		}
	}
	return nil, "", ErrSignature
}

// rawKey returns the key proper of a minisign key: two bytes of algorithm and eight of id stand
// before it.
func rawKey(k minisign.PublicKey) (ed25519.PublicKey, error) {
	raw, err := base64.StdEncoding.DecodeString(k.String())
	if err != nil || len(raw) != 2+8+ed25519.PublicKeySize {
		return nil, fmt.Errorf("update: the key %s is malformed", k)
	}
	return raw[2+8:], nil
}

// readImage reads "version=1.4.0 board=box-2"; other words are ignored.
func readImage(comment string) (Image, error) {
	var i Image
	for word := range strings.FieldsSeq(comment) {
		switch name, value, _ := strings.Cut(word, "="); name {
		case "version":
			i.Version = value
		case "board":
			i.Board = value
		}
	}
	if i.Version == "" || i.Board == "" {
		return i, fmt.Errorf(`update: the trusted comment of the signature is not "version=… board=…"`)
	}
	return i, nil
}

// A hasher computes the digest of a program that is written to it.
type hasher struct {
	from bytes.Reader
	r    *minisign.Reader
}

func newHasher() *hasher {
	h := &hasher{}
	h.r = minisign.NewReader(&h.from)
	return h
}

func (h *hasher) Write(p []byte) (int, error) {
	h.from.Reset(p)
	n, err := io.Copy(io.Discard, h.r)
	return int(n), err
}

func (h *hasher) verify(s *signature) bool { return h.r.Verify(s.key, s.text) }

// newer reports whether version a is newer than b. Versions are numbers with dots between; what
// follows a "-" is a version before that: 1.10.0 is newer than 1.9, and that than 1.9-rc2. One that
// is not a version is older than all.
func newer(a, b string) bool {
	aNumbers, aRest, aOK := parseVersion(a)
	bNumbers, bRest, bOK := parseVersion(b)
	if !aOK || !bOK {
		return aOK && !bOK
	}
	for i := range max(len(aNumbers), len(bNumbers)) {
		var x, y uint64
		if i < len(aNumbers) {
			x = aNumbers[i]
		}
		if i < len(bNumbers) {
			y = bNumbers[i]
		}
		if x != y {
			return x > y
		}
	}
	switch {
	case aRest == bRest:
		return false
	case aRest == "" || bRest == "":
		return aRest == ""
	}
	return aRest > bRest
}

func parseVersion(v string) (numbers []uint64, rest string, ok bool) {
	v, rest, _ = strings.Cut(strings.TrimPrefix(v, "v"), "-")
	for part := range strings.SplitSeq(v, ".") {
		n, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return nil, "", false
		}
		numbers = append(numbers, n)
	}
	return numbers, rest, true
}
