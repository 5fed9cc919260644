package nats

import (
	"strings"
	"testing"
)

func TestRefusedOptions(t *testing.T) {
	three := []string{"127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"}
	for _, x := range []struct {
		opts Options
		want string
	}{
		{Options{Cluster: Cluster{Self: three[0], Peers: three[:2]}}, "two peers have no quorum"},
		{Options{Cluster: Cluster{Self: three[0], Peers: three[:1]}}, "a cluster of one"},
		{Options{Cluster: Cluster{Self: three[0], Peers: three[1:]}}, "this one, is not among them"},
		{Options{Cluster: Cluster{Peers: three}}, "both Self and Peers"},
		{Options{Cluster: Cluster{Self: three[0], Peers: []string{three[0], three[1], three[1]}}}, "twice"},
		{Options{Replicas: 2}, "it can be 1 or 3"},
		{Options{Replicas: 3}, "need a cluster"},
		{Options{Name: "a.b"}, "letters, digits and _"},
		{Options{Listen: "0.0.0.0:0"}, "set a Secret"},
		{Options{Listen: ":4222"}, "set a Secret"},
		{Options{Cluster: Cluster{Self: "10.0.0.1:1", Peers: []string{"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"}}}, "set a Secret"},
		{Options{Listen: "127.0.0.1"}, "no HOST:PORT"},
		{Options{URLs: []string{"nats://127.0.0.1:1"}, Dir: "x"}, "belong to an embedded one"},
		{Options{MaxMessage: 65 << 20}, "up to 64 MiB"},
	} {
		e, err := Open(x.opts)
		if err == nil {
			e.Close()
		}
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%+v: %v; it should say %q", x.opts, err, x.want)
		}
	}
}
