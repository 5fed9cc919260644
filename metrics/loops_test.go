package metrics_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/metrics"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestLoopsAreASumAndEach(t *testing.T) {
	l, err := mgr.NewLoops(2, mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := l.Listen("tcp://127.0.0.1:0", nil, mgr.ListenOptions{Accept: mgr.AcceptHandOver})
	if err != nil {
		t.Fatal(err)
	}
	addr := c.LocalAddr().String()
	go l.Run(context.Background())
	for range 4 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	// Each loop's figures are those after its last turn: the one that hands over may be in it.
	ready := func() bool { s := l.Stats(); return s.Conns == 4 && s.HandedOver == 2 }
	for end := time.Now().Add(time.Minute); !ready() && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	var w metrics.Writer
	metrics.Of(l, "node", "a")(&w)
	text := string(w.Bytes())
	for _, line := range []string{`mangusta_connections{node="a"} 4`, `mangusta_accepts_total{node="a"} 4`,
		`mangusta_loop_connections{node="a",loop="0"} 2`, `mangusta_loop_connections{node="a",loop="1"} 2`,
		`mangusta_loop_accepts_total{node="a",loop="1"} 2`, `mangusta_handed_over_total{node="a"} 2`} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
	if n := strings.Count(text, "# TYPE mangusta_loop_connections "); n != 1 {
		t.Errorf("the type of a metric is there %d times", n)
	}
}
