// Command homeassistant is a boiler that Home Assistant finds by itself, shows and controls.
//
//	go run ./examples/mqtt/homeassistant -broker mqtt://USER:PASSWORD@homeassistant.local:1883
//
// Its settings, its readings and an action are declared once. Package device serves them at
// http://127.0.0.1:8000/api/settings, and device/homeassistant publishes them to a hub, which a bridge
// joins with the MQTT broker that Home Assistant uses. When the program ends or is cut off, the
// broker says so, and the boiler is shown as unavailable. With -remove it is taken out of Home
// Assistant.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/homeassistant"
	"github.com/seed4930a636/mangusta/examples/internal/program"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/mqtt"
)

// Settings are what Home Assistant shows.
type Settings struct {
	Name   string  `device:"name,min=1,max=32"`
	Mode   string  `device:"mode,enum=auto|heat|off"`
	Target float64 `device:"target,unit=°C,min=5,max=80,step=0.5"`
	Pump   bool    `device:"pump"`

	Readings struct {
		Temperature float64 `device:"temperature,unit=°C"`
		Burning     bool    `device:"burning"`
	} `device:"readings,readonly"`
}

func main() {
	flags := program.Register("127.0.0.1:8000")
	url := flag.String("broker", "mqtt://127.0.0.1:1883", "`URL` of the broker: mqtt://HOST:PORT or mqtts://HOST:PORT, with USER:PASSWORD@ if it asks for them")
	id := flag.String("id", "boiler", "the device's own `name` at the broker: letters, digits, - and _")
	remove := flag.Bool("remove", false, "take the device out of Home Assistant, and end")
	flag.Parse()
	m, err := flags.Manager(mgr.Options{})
	program.Check(err)

	dev, err := device.New(m, Settings{Name: "Boiler", Mode: "auto", Target: 55})
	program.Check(err)
	dev.Action(device.Action{Name: "flush", Help: "Run the pump for a second.", Role: device.User, Run: func(who device.Who) error {
		m.AfterFunc(time.Second, func() { dev.Set(device.Program, func(s *Settings) { s.Pump = false }) })
		return dev.Set(who, func(s *Settings) { s.Pump = true })
	}})

	topics := homeassistant.Topics{ID: *id}
	var ha *homeassistant.Entities
	up := make(chan struct{}, 1)
	bridge, err := mqtt.New(mqtt.Options{
		URL: *url, Client: topics.ID, Status: topics.Status(),
		In:  []mqtt.In{{Filter: topics.Commands(), QoS: 1}},
		Out: []mqtt.Out{{Pattern: topics.Configs(), QoS: 1, Retain: true}, {Pattern: topics.States(), QoS: 1, Retain: true}},
		Changed: func(connected bool) {
			if !connected {
				return
			}
			if !*remove {
				ha.Announce()
			}
			select {
			case up <- struct{}{}:
			default:
			}
		},
	})
	program.Check(err)
	hub := broadcast.NewHub(broadcast.Options{Tap: func(m *broadcast.Message, id string) { bridge.Tap(m, id); ha.Tap(m, id) }}, m)
	ha, err = homeassistant.New(m, dev, hub, homeassistant.Options{Topics: topics, Name: dev.Get().Name, Manufacturer: "mangusta", Model: "example"})
	program.Check(err)
	program.Check(bridge.Start(hub))

	if *remove {
		ha.Remove()
		for range 10 { // the topics are deleted in the next turn
			program.Check(m.Poll(0))
		}
		select {
		case <-up:
		case <-time.After(10 * time.Second):
			program.Check(errors.New("the broker cannot be reached"))
		}
	} else {
		m.Every(time.Second, func() { dev.Set(device.Program, heat) })
		x := http.NewMux()
		dev.Mount(x, "/api")
		l, err := http.Listen(m, flags.URL(), x.Serve, http.Options{Hosts: []string{"localhost"}})
		program.Check(err)
		err = program.Run(m, l)
		defer program.Check(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	program.Check(bridge.Close(ctx)) // what was published until now goes to the broker
	fmt.Println("the broker has all")
}

// heat makes the next readings.
func heat(s *Settings) {
	r := &s.Readings
	r.Burning = s.Mode != "off" && (s.Mode == "heat" || r.Temperature < s.Target)
	step := -0.2
	if r.Burning {
		step = 0.5
	}
	r.Temperature = math.Round(10*min(max(r.Temperature+step, 20), 85)) / 10
}
