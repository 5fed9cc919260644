package main

import "github.com/seed4930a636/mangusta/device/network"

// watchNetwork publishes what changes of the network: the counters only while a page looks.
func (p *product) watchNetwork() {
	network.Watch(p.m, func(s network.Status) { p.publish(topicNetwork, s) }, network.Options{
		Watched: func() bool { return p.hub.Subscribers(topicNetwork) > 0 }, Log: p.log,
	})
}
