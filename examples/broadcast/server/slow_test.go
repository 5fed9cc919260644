package server

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// stall opens a WebSocket that does not read, and publishes until the server has noticed it: done
// says so.
func stall(t *testing.T, p *served, done func(Figures) bool) (s *socket, published int) {
	t.Helper()
	s = p.dial("topic=big")
	body := strings.Repeat("x", 500_000)
	p.until("a slow subscriber", func(f Figures) bool {
		if done(f) {
			return true
		}
		published++
		p.publish("big", fmt.Sprintf(`[%d, "%s"]`, published, body))
		return false
	})
	return s, published
}

// stalled reports whether the subscriber is slow for good: after the first message that is skipped,
// the kernel may still find room for all that waits.
func stalled(f Figures) bool { return f.Hub.Skipped >= 5 && f.Subscribers[0].Waiting > 0 }

// read reads the numbers of messages up to last, and how many are said to be missed.
func (s *socket) read(last int) (numbers []int, missed int) {
	s.t.Helper()
	for len(numbers) == 0 || numbers[len(numbers)-1] != last {
		m := s.next()
		missed += int(m.Missed)
		if m.Topic != "" {
			var data []any
			if err := json.Unmarshal(m.Data, &data); err != nil {
				s.t.Fatal(err)
			}
			numbers = append(numbers, int(data[0].(float64)))
		}
	}
	return numbers, missed
}

func TestASlowSubscriberMissesMessagesAndIsTold(t *testing.T) {
	for _, policy := range []string{"skip", "oldest", "latest"} {
		t.Run(policy, func(t *testing.T) {
			p := start(t, "-policy", policy, "-limit", "1200000")
			s, published := stall(t, p, stalled)
			f := p.figures()
			x := f.Subscribers[0]
			if !x.Slow || x.Waiting == 0 || x.WaitingBytes > 1_200_000 || x.Skipped != f.Hub.Skipped || f.Connections.Slow != 1 ||
				!slices.Equal(x.Patterns, []string{"big"}) || x.Kind != "websocket" {
				t.Errorf("the slow subscriber is %+v of %+v", x, f.Connections)
			}
			if topic := f.Topics[0]; topic.Name != "big" || topic.Skipped != f.Hub.Skipped || topic.Subscribers != 1 {
				t.Errorf("the topic is %+v", topic)
			}
			last := published
			if policy == "skip" {
				// The newest ones have been skipped; one that comes when there is room again brings
				// the word of it.
				done := make(chan bool)
				go func() { // reads until everything waiting has come
					defer close(done)
					s.read(int(x.Delivered) + x.Waiting)
				}()
				<-done
				last++
				p.publish("big", fmt.Sprintf("[%d]", last))
				numbers, missed := s.read(last)
				if len(numbers) != 1 || missed != int(f.Hub.Skipped) {
					t.Errorf("got %v and %d missed, want %d alone and %d", numbers, missed, last, f.Hub.Skipped)
				}
				return
			}
			numbers, missed := s.read(last)
			if !slices.IsSorted(numbers) || len(numbers)+missed != published || missed != int(f.Hub.Skipped) {
				t.Errorf("got %d in order %v, %d missed, of %d published, %d skipped", len(numbers), slices.IsSorted(numbers), missed, published, f.Hub.Skipped)
			}
		})
	}
}

func TestThePolicyCloseEndsASlowSubscriberWith1013(t *testing.T) {
	p := start(t, "-policy", "close", "-limit", "1000000")
	s, _ := stall(t, p, func(f Figures) bool { return f.Hub.Disconnected > 0 })
	last := uint64(0)
	for {
		_, text, err := s.ReadMessage()
		if err != nil {
			if !websocket.IsCloseError(err, websocket.CloseTryAgainLater) {
				t.Errorf("the end is %v, want 1013", err)
			}
			break
		}
		var m message
		json.Unmarshal(text, &m)
		last = m.Offset
	}
	// It may come back, and goes on from where it was.
	if m := p.dial(fmt.Sprintf("topic=big&since=%d", last)).next(); m.Offset != last+1 {
		t.Errorf("went on with offset %d behind %d", m.Offset, last)
	}
}
