package broadcast

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

var secret = bytes.Repeat([]byte("secret"), 6)

func newKeys(t testing.TB, secrets ...[]byte) *Keys {
	t.Helper()
	k, err := NewKeys(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTokens(t *testing.T) {
	k := newKeys(t, secret)
	for _, g := range []Grant{
		{},
		{Subscribe: []string{"a/+", "é/\"/#"}, Publish: []string{"b"}, Until: time.Unix(time.Now().Unix()+60, 0), Who: "Ann \u2028 \\"},
		{Publish: []string{"#"}, Until: time.Unix(1<<40, 0)},
	} {
		token, err := k.Sign(g)
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.Verify(token)
		if err != nil || !reflect.DeepEqual(got, g) {
			t.Errorf("%+v, %v instead of %+v", got, err, g)
		}
		// Nothing in it may be another.
		for i := range token {
			for _, x := range []byte{'.', 'A', token[i] ^ 1, token[i] ^ 4} {
				if x == token[i] {
					continue
				}
				if _, err := k.Verify(token[:i] + string(x) + token[i+1:]); err != ErrToken {
					t.Fatalf("%q instead of %q at %d: %v", x, token[i], i, err)
				}
			}
			if _, err := k.Verify(token[:i]); err != ErrToken {
				t.Fatalf("the first %d bytes: %v", i, err)
			}
		}
		for _, x := range []string{token + "=", token + "A", " " + token, token + "\n", "." + token, token + "." + token} {
			if _, err := k.Verify(x); err != ErrToken {
				t.Errorf("%q: %v", x, err)
			}
		}
		// Another secret has not signed it; one that is being replaced has.
		other := bytes.Repeat([]byte("x"), minSecret)
		if _, err := newKeys(t, other).Verify(token); err != ErrToken {
			t.Error(err)
		}
		if _, err := newKeys(t, other, secret).Verify(token); err != nil {
			t.Error(err)
		}
	}
	past, _ := k.Sign(Grant{Until: time.Now().Add(-time.Second), Who: "Ann"})
	if g, err := k.Verify(past); err != ErrTokenExpired || g.Who != "Ann" {
		t.Error(g, err)
	}
	if _, err := k.Sign(Grant{Subscribe: []string{"a#"}}); !errors.Is(err, ErrBadPattern) {
		t.Error(err)
	}
	if _, err := k.Sign(Grant{Who: strings.Repeat("x", maxToken)}); err == nil {
		t.Error("a token that is too long")
	}
	for _, x := range [][][]byte{{}, {secret, nil}, {secret[:minSecret-1]}} {
		if _, err := NewKeys(x...); err == nil {
			t.Errorf("%q are good", x)
		}
	}
}

// A program that has the secret may still sign text that is no grant.
func TestOddGrantsAreRefused(t *testing.T) {
	k := newKeys(t, secret)
	for payload, want := range map[string]bool{
		`{}`: true, `{"new":[1]}`: true, `{"exp":32503680000}`: true,
		``: false, `[]`: false, `1`: false, `{"exp":"1"}`: false, `{"exp":1.5}`: false, `{"exp":null}`: false, `{"exp":1e99}`: false,
		`{"sub":"a"}`: false, `{"sub":[1]}`: false, `{"sub":["a#"]}`: false, `{"pub":{}}`: false, `{"who":1}`: false, `{"sub":[]} `: true,
		`{"sub":["a"]`: false,
	} {
		text := tokenPrefix + base64.RawURLEncoding.EncodeToString([]byte(payload))
		_, err := k.Verify(text + "." + mac(secret, text))
		if (err == nil) != want {
			t.Errorf("%s: %v", payload, err)
		}
	}
}

func FuzzToken(f *testing.F) {
	k := newKeys(f, secret)
	s, _ := k.Sign(Grant{Subscribe: []string{"a"}, Who: "Ann"})
	f.Add(s, []byte(`{"exp":1,"sub":["a"],"pub":["b"],"who":"x"}`))
	f.Fuzz(func(t *testing.T, token string, payload []byte) {
		if _, err := k.Verify(token); err == nil && !strings.HasSuffix(token, "."+mac(secret, token[:strings.LastIndexByte(token, '.')])) {
			t.Errorf("%q is good", token)
		}
		if g, ok := parseGrant(payload); ok {
			r := g.Rights()
			r.MaySubscribe("a/+")
			r.MayPublish("a")
			text, err := k.Sign(g)
			if again, e := k.Verify(text); err == nil && e == nil && !reflect.DeepEqual(again, g) && len(g.Subscribe)+len(g.Publish) > 0 {
				t.Errorf("%+v became %+v", g, again)
			}
		}
	})
}

// A pattern covers another if it matches whatever that one matches.
func TestCovers(t *testing.T) {
	var patterns, topics []string
	levels := []string{"a", "b", "", "+", "$s"}
	var grow func(prefix string, depth int)
	grow = func(prefix string, depth int) {
		for _, l := range append(levels, "#") {
			p := prefix + l
			if ValidPattern(p) {
				patterns = append(patterns, p)
			}
			if ValidTopic(p) {
				topics = append(topics, p)
			}
			if depth > 1 && l != "#" {
				grow(p+"/", depth-1)
			}
		}
	}
	grow("", 3)
	topics = append(topics, "a/b/c/d", "x", "a/x", "a/b/x", "$s/x/y", "x/y/z/u", "a/x/y", "$x", "+x"[1:])
	covers := 0
	for _, p := range patterns {
		for _, o := range patterns {
			all := true
			for _, topic := range topics {
				if Match(o, topic) && !Match(p, topic) {
					all = false
					break
				}
			}
			got := Covers(p, o)
			if got && !all {
				t.Errorf("%q does not cover %q", p, o)
			}
			if got {
				covers++
			} else if all && !strings.HasSuffix(p, "#") && !strings.HasSuffix(o, "#") && o[0] != '$' {
				t.Errorf("%q covers %q", p, o)
			}
		}
	}
	if covers < len(patterns) {
		t.Error(covers)
	}
	for _, tc := range [][2]string{{"#", "a/+"}, {"a/#", "a"}, {"a/#", "a/#"}, {"+/b", "a/b"}, {"+/#", "a/#"}, {"$s/#", "$s/a"}} {
		if !Covers(tc[0], tc[1]) {
			t.Errorf("%q does not cover %q", tc[0], tc[1])
		}
	}
	for _, tc := range [][2]string{{"#", "$s/#"}, {"a/+", "a/#"}, {"a", "a/#"}, {"a/+", "a"}, {"+/s", "$s/s"}, {"a/b", "a/+"}} {
		if Covers(tc[0], tc[1]) {
			t.Errorf("%q covers %q", tc[0], tc[1])
		}
	}
}

func TestASubscriptionEndsWithItsRights(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		rights := &Rights{Until: time.Now().Add(time.Hour)}
		r := newRig(t, p, Options{Retain: true}, func(r *rig) { r.sub.Rights = rights })
		r.publish("a", "1")
		c, two, e := r.ws("topic=a"), r.ws("topic=a,b"), r.sse("topic=a", "")
		e.want("1")
		c.want("1")
		two.want("1")
		r.do(func() {
			for _, s := range r.hub.loops[0].subscriptions() {
				r.hub.Renew(s.to.c, Rights{Until: time.Now().Add(10 * time.Millisecond)})
			}
		})
		e.want(`{"expired":["a"]}`)
		if e.kind != "expired" {
			t.Error(e.kind)
		}
		c.want(`{"expired":["a"]}`)
		if end := c.end(); end != "close 4401" {
			t.Error(end)
		}
		two.want(`{"expired":["a","b"]}`)
		if end := two.end(); end != "close 4401" {
			t.Error(end)
		}
		if s := r.until("the end of all", func(s Stats) bool { return s.Subscriptions == 0 }); s.Expired != 4 {
			t.Errorf("%+v", s)
		}
	})
}

// Patterns with rights of their own end alone, and rights are renewed without a gap.
func TestRightsAreRenewed(t *testing.T) {
	p := newPacer(t, Options{})
	o := func(d time.Duration) SubscribeOptions {
		return SubscribeOptions{Rights: &Rights{Until: time.Now().Add(d)}}
	}
	c, w := p.subscriber("a", o(time.Hour))
	p.subscribe(c, "b", o(10*time.Millisecond))
	p.subscribe(c, "c")
	l := p.hub.loops[0]
	u := l.subscriber(c)
	if len(l.alarms) != 1 || u.extra.alarm.at > p.now+int64(10*time.Millisecond) {
		t.Fatalf("%d alarms, at %d", len(l.alarms), u.extra.alarm.at)
	}
	for u.subscription("b") != nil { // the rights are on the clock of the system
		p.now = max(p.now, u.extra.alarm.at)
		p.pass(0)
	}
	p.publish("a", "a1")
	p.publish("b", "b1")
	p.want(w, `{"expired":["b"]}`, "a1")
	// The clock may have been set: it is looked at each minute.
	if at := u.extra.alarm.at; at > p.now+int64(recheck) {
		t.Errorf("the alarm is at %d, now is %d", at, p.now)
	}
	p.turn(func() { p.hub.Renew(c, Rights{}) })
	if len(l.alarms) != 0 {
		t.Error("an alarm for what does not end")
	}
	p.turn(func() {
		p.hub.Renew(c, Rights{Until: time.Now().Add(time.Hour), Subscribe: func(pattern string) bool { return pattern == "b" }})
	})
	p.publish("a", "a2")
	p.publish("c", "c1") // it had no rights that could end
	p.want(w, `{"expired":["a"]}`, "c1")
	p.turn(func() {
		if err := p.hub.Subscribe(c, "d", o(-time.Second)); err != ErrForbidden {
			t.Error(err)
		}
		deny := SubscribeOptions{Rights: &Rights{Subscribe: func(string) bool { return false }}}
		if err := p.hub.Subscribe(c, "d", deny); err != ErrForbidden {
			t.Error(err)
		}
		p.hub.Renew(c, Rights{})
		p.hub.UnsubscribeAll(c)
		p.hub.Renew(c, Rights{})
	})
	if len(l.alarms) != 0 {
		t.Error(len(l.alarms), "alarms")
	}
}

func TestADoorTakesTokens(t *testing.T) {
	k := newKeys(t, secret)
	token, _ := k.Sign(Grant{Subscribe: []string{"a/#"}, Publish: []string{"a/+"}, Until: time.Now().Add(time.Hour)})
	rights, err := k.Authorize(nil, token)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(rights.MaySubscribe("a"), rights.MaySubscribe("a/b"), rights.MaySubscribe("#"), rights.MayPublish("a"), rights.MayPublish("a/b"))
	if got != "true true false false true" {
		t.Error(got)
	}
	if _, err := k.Authorize(nil, ""); err != ErrToken {
		t.Error(err)
	}
}
