// Package modbus is a Modbus master on the loop of a manager, over serial lines (RTU) and TCP, and
// a Binding of registers to the settings of package device.
//
//	x := modbus.RTU(m, "/dev/ttyUSB0", serial.Options{Mode: serial.Mode{Speed: 19200, Parity: serial.Even}}, modbus.Options{})
//	err := x.Read(1, modbus.Holding, 100, 4, func(v []uint16, err error) { … })
//
// A Master has a queue, and one request under way, since a two-wire line has room for one, and many
// devices over TCP can do no more. All of it belongs to the loop's goroutine; the functions that
// get the results are called there.
//
// # Noise
//
// A serial line has no frames, only pauses, which a program on Linux cannot see. So the master knows
// what the reply looks like (unit, function, length, checksum) and looks for it in what comes:
// noise before it, after it, an echo of the request and the late end of another reply do no harm.
//
// # Late replies
//
// A request over TCP has a number, which its reply repeats (TCP §3.1.3). A request on a serial line
// has none: a reply that comes after the request was given up looks like the reply to its
// repetition, or to the next request of the same function to the same unit. It must not: a value
// would be that of another address, and a write would count as done before the unit has seen it.
//
// Line §2.4.1 has the master give up after the response time-out, and leaves it to the user that no
// unit takes longer. This master does not rely on it alone. After it has given up, requests that the
// late reply could be taken for wait until it has come, or until Options.Late has passed. The late
// reply is thrown away and counted (Stats.Late): a figure that rises says that Options.Timeout is too
// short. Requests to other units, and of other functions, go on at once. A unit that is switched off
// costs a time-out and Late for each try.
//
// The documents are "MODBUS Application Protocol Specification V1.1b3", "MODBUS over Serial Line
// V1.02" and "MODBUS Messaging on TCP/IP Implementation Guide V1.0b", below as App, Line and TCP.
package modbus
