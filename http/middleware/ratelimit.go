package middleware

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// Rate is the limit of RateLimit. Each address has a bucket of Burst tokens, a request takes one,
// and PerSecond new ones fall in.
type Rate struct {
	PerSecond float64 // requests on average; must be positive, and may be below 1
	Burst     int     // requests at once; default is PerSecond, rounded up
	Table     int     // addresses that are remembered, rounded up to a power of two; default 16384, of 24 bytes each
	Client    Client
}

// RateLimit replies with 429 and Retry-After to addresses that ask too often. An IPv6 address
// counts as its /64, since one household has that many. Clients without a known address share one
// bucket. If more addresses come than the table has room for, those whose buckets are nearest to
// full are forgotten first; a forgotten address begins with a full bucket. Time is that of the
// loops' clock. RateLimit panics if PerSecond is not positive.
func RateLimit(o Rate) Middleware {
	must(o.PerSecond > 0 && o.PerSecond <= 1e9, "RateLimit: PerSecond must be positive, and at most 1e9")
	if o.Burst <= 0 {
		o.Burst = int(math.Ceil(o.PerSecond))
	}
	if o.Table <= 0 {
		o.Table = 16 << 10
	}
	b := newBuckets(o.PerSecond, o.Burst, o.Table)
	return http.Guard(func(c *conn.Conn, r *http.Request) bool {
		wait := b.take(o.Client.addr(c, r), c.Layer().Shared().Now)
		if wait == 0 {
			return true
		}
		seconds := (wait-1)/time.Second + 1
		http.SetHeader(c, "Retry-After", strconv.FormatInt(int64(seconds), 10))
		http.Error(c, 429)
		return false
	})
}

// A bucket belongs to one address. It is full at the time full, and has one token less for each
// step before that.
type bucket struct {
	key  uint64
	kind uint8 // of key; 0 is an empty place
	full int64
}

const (
	keyNone = 1 + iota // no address
	keyIPv4
	keyIPv6 // the first 64 bits
	keyLink // the last 64 bits of a link-local address
)

// ways is the number of places of the table where an address may be.
const ways = 8

// buckets is a table of fixed size. Loops share it.
type buckets struct {
	step  int64 // ns that a token takes to fall
	depth int64 // ns until an empty bucket is full
	seed  maphash.Seed
	mask  uint64

	mu    sync.Mutex
	table [][ways]bucket
}

func newBuckets(perSecond float64, burst, size int) *buckets {
	step := max(int64(min(float64(time.Second)/perSecond, 1e16)), 1)
	sets := 1
	for sets*ways < size {
		sets *= 2
	}
	depth := int64(math.MaxInt64 / 4)
	if int64(burst) < depth/step {
		depth = step * int64(burst)
	}
	return &buckets{step: step, depth: depth, seed: maphash.MakeSeed(), mask: uint64(sets - 1), table: make([][ways]bucket, sets)}
}

// take takes a token at the time now and returns 0, or returns the time until there is one.
func (b *buckets) take(a netip.Addr, now int64) time.Duration {
	key, kind := keyOf(a)
	var raw [9]byte
	binary.BigEndian.PutUint64(raw[:], key)
	raw[8] = kind
	set := &b.table[maphash.Bytes(b.seed, raw[:])&b.mask]
	b.mu.Lock()
	defer b.mu.Unlock()
	k := &set[0]
	for i := range set {
		if set[i].kind == kind && set[i].key == key {
			k = &set[i]
			break
		}
		if set[i].kind == 0 && k.kind != 0 || k.kind != 0 && set[i].full < k.full {
			k = &set[i] // to be forgotten, unless the address is found
		}
	}
	if k.kind != kind || k.key != key {
		*k = bucket{key: key, kind: kind, full: now}
	}
	full := max(k.full, now) + b.step
	if over := full - now - b.depth; over > 0 {
		return time.Duration(over)
	}
	k.full = full
	return 0
}

// keyOf returns the key of the bucket of an address.
func keyOf(a netip.Addr) (key uint64, kind uint8) {
	a = conn.Owner(a, nil)
	switch {
	case a.Is4():
		ip := a.As4()
		return uint64(binary.BigEndian.Uint32(ip[:])), keyIPv4
	case a.IsLinkLocalUnicast():
		ip := a.As16()
		return binary.BigEndian.Uint64(ip[8:]), keyLink
	case a.Is6():
		ip := a.As16()
		return binary.BigEndian.Uint64(ip[:]), keyIPv6
	}
	return 0, keyNone
}
