package main

// A Sample is what the device knows about itself at one moment. It reaches the page as one JSON
// document, on the topic "sample":
//
//	{
//	  "time": 1763874000123,              Unix time in ms
//	  "interval": 1000,                   ms from one sample to the next
//	  "uptime": 93784.2,                  s
//	  "load": [0.12, 0.20, 0.18],         over 1, 5 and 15 minutes
//	  "cpu": {"total": 7.5, "cores": [{"id": 0, "used": 9.1}, {"id": 1, "used": 5.9}]},          percent
//	  "memory": {"total": 8e9, "used": 3e9, "cache": 1e9, "swap_total": 0, "swap_used": 0},      bytes
//	  "disks": [{"path": "/", "fs": "ext4", "total": 32e9, "used": 8e9, "free": 24e9, "ro": false}],
//	  "interfaces": [{"name": "eth0", "index": 2, "flags": ["up", "broadcast", "multicast", "running"],
//	      "mac": "02:fc:00:00:00:01", "mtu": 1500, "addresses": ["192.0.2.2/24", "fe80::1/64"],
//	      "rx": 123, "tx": 456,           bytes since the interface came up
//	      "rx_rate": 1.5, "tx_rate": 0,   bytes/s
//	      "errors": 0, "drops": 0}],      packets
//	  "traffic": {"rx": 1.5, "tx": 0},    bytes/s over the hardware interfaces
//	  "sensors": [{"name": "x86_pkg_temp", "celsius": 41.0}],
//	  "process": {"pid": 812, "rss": 12e6, "cpu": 0.4, "threads": 7, "fds": 11, "goroutines": 5},
//	  "loop": {"poller": "epoll", "connections": 2, "pages": 1, "accepts": 9, "turn_rate": 3, "event_rate": 4,
//	      "in_rate": 0, "out_rate": 2100, "in": 5210, "out": 998012}                             bytes, bytes/s, 1/s
//	}
//
// "clock" is what the time server of -ntp says, null before it does: see clock.go.
//
// A figure that this machine cannot tell is null, at any level, and shows as "n/a".
type Sample struct {
	Time       int64       `json:"time"`
	Interval   int64       `json:"interval"`
	Uptime     *float64    `json:"uptime"`
	Load       *[3]float64 `json:"load"`
	CPU        *CPU        `json:"cpu"`
	Memory     *Memory     `json:"memory"`
	Disks      []Disk      `json:"disks"`
	Interfaces []Interface `json:"interfaces"`
	Traffic    *Traffic    `json:"traffic"`
	Sensors    []Sensor    `json:"sensors"`
	Process    *Process    `json:"process"`
	Loop       *Loop       `json:"loop"`
	Clock      *Clock      `json:"clock"`
}

// CPU is the time not spent idle since the sample before, in percent.
type CPU struct {
	Total *float64 `json:"total"`
	Cores []Core   `json:"cores"`
}

// A Core is one processor of the machine.
type Core struct {
	ID   int64    `json:"id"`
	Used *float64 `json:"used"` // null for the first sample after the core came on line
}

// Memory is in bytes. Used is what programs could not get: total less available.
type Memory struct {
	Total     uint64  `json:"total"`
	Used      uint64  `json:"used"`
	Cache     *uint64 `json:"cache"`
	SwapTotal *uint64 `json:"swap_total"`
	SwapUsed  *uint64 `json:"swap_used"`
}

// A Disk is a mounted file system, in bytes. Free is what an ordinary user may still fill.
type Disk struct {
	Path  string `json:"path"`
	FS    string `json:"fs"`
	Total uint64 `json:"total"`
	Used  uint64 `json:"used"`
	Free  uint64 `json:"free"`
	RO    bool   `json:"ro"`
}

// An Interface tells what the SIOCGIF ioctls would, and how much flows.
type Interface struct {
	Name      string   `json:"name"`
	Index     int      `json:"index"`
	Flags     []string `json:"flags"`
	MAC       string   `json:"mac"`
	MTU       int      `json:"mtu"`
	Addresses []string `json:"addresses"`
	Rx        *uint64  `json:"rx"`
	Tx        *uint64  `json:"tx"`
	RxRate    *float64 `json:"rx_rate"`
	TxRate    *float64 `json:"tx_rate"`
	Errors    *uint64  `json:"errors"`
	Drops     *uint64  `json:"drops"`
}

// Traffic is the sum of the rates of the interfaces that are hardware, in bytes/s; where none is,
// of all but loopback.
type Traffic struct {
	Rx float64 `json:"rx"`
	Tx float64 `json:"tx"`
}

// A Sensor is one thermometer.
type Sensor struct {
	Name    string  `json:"name"`
	Celsius float64 `json:"celsius"`
}

// Process is this program as the kernel sees it. CPU is in percent of one core.
type Process struct {
	PID        int      `json:"pid"`
	RSS        int      `json:"rss"`
	CPU        *float64 `json:"cpu"`
	Threads    int      `json:"threads"`
	FDs        *int     `json:"fds"`
	Goroutines int      `json:"goroutines"`
}

// Loop is the event loop's own account of itself.
type Loop struct {
	Poller      string   `json:"poller"`
	Connections int      `json:"connections"`
	Pages       int      `json:"pages"` // open WebSockets
	Accepts     uint64   `json:"accepts"`
	TurnRate    *float64 `json:"turn_rate"`
	EventRate   *float64 `json:"event_rate"`
	InRate      *float64 `json:"in_rate"`
	OutRate     *float64 `json:"out_rate"`
	In          uint64   `json:"in"`
	Out         uint64   `json:"out"`
}
