package homeassistant_test

import (
	"fmt"
	"strings"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/homeassistant"
	"github.com/seed4930a636/mangusta/mgr"
)

// The example prints the messages to the broker, and the effect of a command from there. In a
// program a bridge of package mqtt sends them.
func Example() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	type Settings struct {
		Target float64 `device:"target,unit=°C,min=5,max=30,step=0.5"`
	}
	dev, err := device.New(m, Settings{Target: 21})
	if err != nil {
		fmt.Println(err)
		return
	}
	var ha *homeassistant.Entities
	hub := broadcast.NewHub(broadcast.Options{Tap: func(m *broadcast.Message, id string) {
		what, _, _ := strings.Cut(string(m.Data), ",")
		fmt.Println(m.Topic, what)
		ha.Tap(m, id)
	}}, m)
	ha, err = homeassistant.New(m, dev, hub, homeassistant.Options{Topics: homeassistant.Topics{ID: "boiler"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ha.Announce()
	turn := func() {
		for range 5 { // or m.Run
			m.Poll(0)
		}
	}
	turn()
	hub.Publish("boiler/set/target", []byte("22.5")) // as the bridge does
	turn()
	fmt.Println("the target is", dev.Get().Target)
	// Output:
	// homeassistant/number/boiler/target/config {"name":"Target"
	// boiler/state/target 21
	// boiler/set/target 22.5
	// boiler/state/target 22.5
	// the target is 22.5
}
