package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestFigures: each node shows the engine, its state and all nodes, and which are gone.
func TestFigures(t *testing.T) {
	t.Parallel()
	host, url := startHost(t, "")
	b := startNode(t, "-nats", url, "-node", "b")
	type figures map[string]string
	get := func(s *process) figures {
		resp, err := http.Get("http://" + s.Addr + "/stats")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer struct {
			Title string `json:"more_title"`
			More  []struct{ Name, Value string }
		}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Title != "Cluster" {
			t.Fatal(answer, err)
		}
		f := make(figures)
		for _, x := range answer.More {
			f[x.Name] = x.Value
		}
		return f
	}
	want := func(s *process, name, value string) {
		t.Helper()
		for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			f := get(s)
			if strings.HasPrefix(f[name], value) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s is not %q: %q", name, value, f)
			}
		}
	}
	want(host, "Engine", "NATS, embedded, in memory")
	want(b, "Engine", "NATS, in memory")
	want(host, "Node b", "lags ")
	want(b, "Node host", "lags ")
	want(b, "Node b, this one", "lags ")
	want(b, "State", "up")
	b.kill()
	want(host, "Node b", "gone for ")
}
