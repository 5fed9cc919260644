package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/seed4930a636/mangusta/broadcast"
)

// claims are those of a token: the patterns that its client may subscribe to and publish to. A
// subscription ends with the token (exp), unless the client sends another one.
type claims struct {
	Subscribe []string `json:"subscribe"`
	Publish   []string `json:"publish"`
	jwt.RegisteredClaims
}

// authorizer returns a function that returns the rights of a token. The tokens are signed with the
// key in file, by HS256, and expire.
func authorizer(file string) (func(token string) (broadcast.Rights, error), error) {
	key, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if key = []byte(strings.TrimSpace(string(key))); len(key) < 32 {
		return nil, fmt.Errorf("cluster: the key in %s has less than 32 bytes", file) // RFC 7518 §3.2
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
	return func(token string) (broadcast.Rights, error) {
		var c claims
		if _, err := parser.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return key, nil }); err != nil {
			return broadcast.Rights{}, err
		}
		for _, pattern := range slices.Concat(c.Subscribe, c.Publish) {
			if !broadcast.ValidPattern(pattern) {
				return broadcast.Rights{}, errors.New("the token has a malformed pattern")
			}
		}
		return broadcast.Rights{
			Subscribe: func(pattern string) bool { return anyCovers(c.Subscribe, pattern) },
			Publish:   func(topic string) bool { return broadcast.ValidTopic(topic) && anyCovers(c.Publish, topic) },
			Until:     c.ExpiresAt.Time,
		}, nil
	}, nil
}

// anyCovers reports whether one of the patterns matches all topics that pattern matches.
func anyCovers(patterns []string, pattern string) bool {
	for _, p := range patterns {
		if covers(p, pattern) {
			return true
		}
	}
	return false
}

func covers(wide, narrow string) bool {
	if rest, ok := strings.CutSuffix(narrow, "#"); ok {
		// It stands for no level too: so must the wide one's "#", in the same place or before.
		if !strings.HasSuffix(wide, "#") || strings.Count(wide, "/") > strings.Count(rest, "/") {
			return false
		}
	}
	return broadcast.Match(wide, narrow)
}
