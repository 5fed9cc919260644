// Command mqtt shows in a browser what sensors publish by MQTT, at once, and switches a lamp by
// MQTT.
//
//	go run ./examples/mqtt
//	mosquitto_pub -t sensors/kitchen/temperature -m 21
//	mosquitto_sub -t 'commands/#' -v
//
// The MQTT broker is in the program, at -mqtt-listen; or it is yours, at -broker. A bridge joins it
// with a hub: messages below "sensors/" come in, and commands to the lamp go both ways. The page,
// in the directory page, subscribes to the hub with mangusta.js. It shows the last value of each
// sensor, and says when the broker is away: commands wait until it is back.
package main

import (
	"context"
	"embed"
	"flag"
	"fmt"
	"io/fs"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/examples/internal/program"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/middleware"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/mqtt"
	"github.com/seed4930a636/mangusta/mqtt/broker"
)

//go:embed page
var files embed.FS

// lamp is the topic of the commands, the only one to which a page may publish.
const lamp = "commands/lamp"

// away is the topic of the hub, and of no broker, that tells whether the broker is away: true or
// false.
const away = "broker/away"

// routes are the page and the way to the hub.
func routes(hub *broadcast.Hub) *http.Mux {
	page, err := fs.Sub(files, "page")
	program.Check(err)
	rights := broadcast.Rights{Publish: func(topic string) bool { return topic == lamp }}
	door := broadcast.NewDoor(hub, broadcast.DoorOptions{Rights: rights})
	x := http.NewMux()
	x.Use(middleware.SecurityHeaders(middleware.Headers{}))
	x.MustHandle("/hub", door.Serve)
	x.MustHandle("GET /mangusta.js", broadcast.Script)
	x.MustHandle("/", func(c *conn.Conn, m *http.Message) { http.ServeFS(c, m, page) })
	return x
}

func main() {
	flags := program.Register("127.0.0.1:8000")
	listen := flag.String("mqtt-listen", "127.0.0.1:1883", "`address` of the MQTT broker in the program")
	url := flag.String("broker", "", "`URL` of a broker to use instead: mqtt://HOST:PORT or mqtts://HOST:PORT")
	client := flag.String("client", "mangusta-example", "MQTT client `identifier`, which no other client of the broker has")
	var web program.Web
	web.RegisterHosts(flag.CommandLine)
	flag.Parse()
	m, err := flags.Manager(mgr.Options{})
	program.Check(err)

	var hub *broadcast.Hub
	o := mqtt.Options{
		URL: *url, Client: *client, Status: "mangusta/status",
		In:      []mqtt.In{{Filter: "sensors/#", QoS: 1}, {Filter: lamp, QoS: 1}}, // others may switch it, too
		Out:     []mqtt.Out{{Pattern: lamp, QoS: 1}},
		Changed: func(connected bool) { hub.Publish(away, fmt.Append(nil, !connected)) },
	}
	if *url == "" {
		own, err := broker.Start(broker.Options{Listen: *listen})
		program.Check(err)
		defer own.Close()
		o.Dial = own.Dial
		fmt.Println("MQTT broker at", own.Addr())
	}
	bridge, err := mqtt.New(o)
	program.Check(err)
	hub = broadcast.NewHub(broadcast.Options{Encode: broadcast.Framed, Retain: true, Tap: bridge.Tap}, m)
	hub.Publish(away, []byte("true")) // until the bridge has connected
	program.Check(bridge.Start(hub))

	l, err := http.Listen(m, flags.URL(), routes(hub).Serve, http.Options{Hosts: web.Hosts})
	program.Check(err)
	err = program.Run(m, l)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	program.Check(bridge.Close(ctx)) // what pages have published until now goes to the broker
	program.Check(err)
}
