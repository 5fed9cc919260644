package main

import (
	"encoding/json"
	"testing"
)

func TestHistoryIsBounded(t *testing.T) {
	var h history
	for i := range 1000 {
		h.add(&Sample{Time: 1_000_000 + int64(i)*1000})
	}
	if len(h.points) != historyCount || *h.points[historyCount-1][0] != 1_999_000 || *h.points[0][0] != 1_700_000 {
		t.Errorf("%d points from %v to %v", len(h.points), *h.points[0][0], *h.points[len(h.points)-1][0])
	}
}

// A short sample interval must not shorten the time that the history covers.
func TestHistoryKeepsOnePointASecond(t *testing.T) {
	var h history
	for i := range 50 {
		h.add(&Sample{Time: 1_000_000 + int64(i)*200})
	}
	if len(h.points) != 10 {
		t.Errorf("%d points of 10 s", len(h.points))
	}
}

func TestHistoryGoesOnWhenTheClockIsSetBack(t *testing.T) {
	var h history
	h.add(&Sample{Time: 2_000_000})
	h.add(&Sample{Time: 1_000_000})
	if len(h.points) != 2 {
		t.Errorf("%d points", len(h.points))
	}
}

func TestHistoryPoint(t *testing.T) {
	var h history
	h.add(&Sample{Time: 1})
	total := 7.5
	h.add(&Sample{Time: 2000, CPU: &CPU{Total: &total}, Memory: &Memory{Total: 3, Used: 1}, Load: &[3]float64{0.5},
		Traffic: &Traffic{Rx: 10, Tx: 20}, Sensors: []Sensor{{"a", 40}, {"b", 50}, {"c", 45}}})
	text, err := json.Marshal(h.points)
	if want := "[[1,null,null,null,null,null,null],[2000,7.5,33.3,0.5,10,20,50]]"; err != nil || string(text) != want {
		t.Errorf("points are %s, %v, want %s", text, err, want)
	}
}
