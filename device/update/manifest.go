package update

import (
	"fmt"
	"strings"
	"time"

	"aead.dev/minisign"

	"github.com/seed4930a636/mangusta/device/internal/rest"
)

// ErrManifest is wrapped by the errors for a manifest that is malformed or not signed.
var ErrManifest = rest.Coded("manifest", "update: the manifest is not acceptable")

// maxManifest bounds the manifest.
const maxManifest = 64 << 10

// A manifest says which program there is. It comes with a minisign signature of its own, whose
// trusted comment has the word "manifest": no signature of a program is one of a manifest, nor the
// other way round.
type manifest struct {
	Version string    `json:"version"`
	Board   string    `json:"board"`
	URL     string    `json:"url"`
	Size    int64     `json:"size"`
	Minisig string    `json:"minisig"` // the text, or its URL
	Expires time.Time `json:"expires"` // zero is never
}

// readManifest checks the manifest and its signature.
func readManifest(text, sig []byte, keys []minisign.PublicKey, now time.Time) (*manifest, error) {
	s, comment, err := readComment(sig, keys)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	if !hasWord(comment, "manifest") {
		return nil, fmt.Errorf("%w: the trusted comment of its signature has no word \"manifest\"", ErrManifest)
	}
	h := newHasher()
	h.Write(text) // a digest takes everything
	if !h.verify(s) {
		return nil, fmt.Errorf("%w: %w", ErrManifest, ErrSignature)
	}
	m := &manifest{}
	if err := rest.Load(text, m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	switch {
	case m.Version == "" || m.Board == "" || m.URL == "" || m.Minisig == "":
		return nil, fmt.Errorf("%w: it needs version, board, url, size and minisig", ErrManifest)
	case !m.Expires.IsZero() && now.Year() >= 2025 && now.After(m.Expires):
		return nil, fmt.Errorf("%w: it has expired: the server shows an old one", ErrManifest)
	}
	return m, nil
}

func hasWord(comment, word string) bool {
	for w := range strings.FieldsSeq(comment) {
		if w == word {
			return true
		}
	}
	return false
}
