package program

import (
	"flag"
	"fmt"
	"io"
	"testing"
)

func TestWebFlagsMayBeListsAndRepeated(t *testing.T) {
	var w Web
	f := flag.NewFlagSet("", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	w.Register(f)
	err := f.Parse([]string{"-host", "a.example,b", "-host=c", "-origin", "https://a.example, http://b:81",
		"-trusted-proxy", "127.0.0.1,10.1.0.0/16", "-trusted-proxy", "::1"})
	got := fmt.Sprint(w, err)
	if want := "{[localhost a.example b c] [https://a.example http://b:81] [127.0.0.1/32 10.1.0.0/16 ::1/128]} <nil>"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, args := range [][]string{{"-origin", "a.example"}, {"-origin", "https://a/b"}, {"-origin", ""}, {"-trusted-proxy", "a"},
		{"-trusted-proxy", "10.0.0.0/33"}} {
		f := flag.NewFlagSet("", flag.ContinueOnError)
		f.SetOutput(io.Discard)
		new(Web).Register(f)
		if f.Parse(args) == nil {
			t.Errorf("%q was taken", args)
		}
	}
}
