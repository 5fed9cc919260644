package web

import (
	"testing"

	"github.com/seed4930a636/mangusta/examples/internal/web/webtest"
)

func TestTheSharedFilesFitAStrictPolicy(t *testing.T) { webtest.WantStrict(t, Files, "shared") }
