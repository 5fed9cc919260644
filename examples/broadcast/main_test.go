package main

import (
	"net/http"
	"testing"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

// The server has its tests in package server.
func TestTheProgramServesItsPage(t *testing.T) {
	p := programtest.Start(t, "-listen", "127.0.0.1:0")
	resp, err := http.Get("http://" + p.Addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("the page: %s", resp.Status)
	}
}
