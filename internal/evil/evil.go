// Package evil makes records of TLS 1.3 that no library would make: floods of KeyUpdates, records
// without data, messages in pieces of a byte. It is for tests. Its user does the handshake with a
// library that logs the keys, and goes on by itself.
package evil

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// The types of records (RFC 8446 §5.1).
const (
	Alert     = 21
	Handshake = 22
	Data      = 23
)

// A Peer seals records as the client or the server of one connection.
type Peer struct {
	secret []byte
	hash   func() hash.Hash
	size   int // of a key
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// NewClient returns the client of a connection with this suite, whose keys stand in a key log (RFC
// 9850). It has sent nothing yet under these keys.
func NewClient(suite uint16, keyLog string) (*Peer, error) {
	return newPeer(suite, keyLog, "CLIENT_TRAFFIC_SECRET_0")
}

// NewServer is NewClient for the server of a connection. A server that issues session tickets has
// sent these already.
func NewServer(suite uint16, keyLog string) (*Peer, error) {
	return newPeer(suite, keyLog, "SERVER_TRAFFIC_SECRET_0")
}

func newPeer(suite uint16, keyLog, secret string) (*Peer, error) {
	c := &Peer{}
	for line := range strings.Lines(keyLog) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == secret {
			c.secret, _ = hex.DecodeString(f[2])
		}
	}
	switch suite {
	case 0x1301: // TLS_AES_128_GCM_SHA256
		c.hash, c.size = sha256.New, 16
	case 0x1302: // TLS_AES_256_GCM_SHA384
		c.hash, c.size = sha512.New384, 32
	default:
		return nil, fmt.Errorf("evil: no suite %#x", suite)
	}
	if len(c.secret) != c.hash().Size() {
		return nil, fmt.Errorf("evil: no secret in the key log")
	}
	return c, c.install()
}

// install makes the keys of the secret.
func (c *Peer) install() error {
	key, err := c.expand("key", c.size)
	if err != nil {
		return err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	if c.aead, err = cipher.NewGCM(block); err != nil {
		return err
	}
	c.iv, err = c.expand("iv", 12)
	c.seq = 0
	return err
}

// expand is HKDF-Expand-Label (RFC 8446 §7.1) with an empty context.
func (c *Peer) expand(label string, n int) ([]byte, error) {
	info := append(binary.BigEndian.AppendUint16(nil, uint16(n)), byte(len(label)+6))
	info = append(append(info, "tls13 "+label...), 0)
	return hkdf.Expand(c.hash, c.secret, string(info), n)
}

// Seal makes a record of an inner type (RFC 8446 §5.2), with so many bytes of padding.
func (c *Peer) Seal(kind byte, p string, padding int) []byte {
	inner := append(append([]byte(p), kind), make([]byte, padding)...)
	n := len(inner) + c.aead.Overhead()
	head := []byte{Data, 3, 3, byte(n >> 8), byte(n)}
	nonce := bytes.Clone(c.iv)
	for i := range 8 {
		nonce[4+i] ^= byte(c.seq >> (56 - 8*i))
	}
	c.seq++
	return append(head, c.aead.Seal(nil, nonce, inner, head)...)
}

// KeyUpdate makes a KeyUpdate record, which asks the peer for one of its own or not, and goes over
// to the next key.
func (c *Peer) KeyUpdate(ask bool) []byte {
	body := []byte{24, 0, 0, 1, 0}
	if ask {
		body[4] = 1
	}
	rec := c.Seal(Handshake, string(body), 0)
	c.Rekey()
	return rec
}

// Rekey goes over to the next key: a KeyUpdate was sent.
func (c *Peer) Rekey() {
	c.secret, _ = c.expand("traffic upd", len(c.secret)) // an error says that the length is wrong
	c.install()
}
