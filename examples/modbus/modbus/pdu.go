package modbus

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A Table is one of the four address spaces of a unit.
type Table uint8

const (
	Coils    Table = iota // bits that can be written
	Discrete              // bits that are read
	Input                 // 16-bit registers that are read
	Holding               // 16-bit registers that can be written
)

var tableNames = [...]string{"coil", "discrete", "input", "holding"}

func (t Table) String() string {
	if int(t) < len(tableNames) {
		return tableNames[t]
	}
	return "unknown table"
}

func (t Table) bits() bool { return t == Coils || t == Discrete }

// Functions (App §6).
const (
	readCoils      = 1
	readDiscrete   = 2
	readHolding    = 3
	readInput      = 4
	writeCoil      = 5
	writeRegister  = 6
	writeCoils     = 15
	writeRegisters = 16
)

// failed is set in the function of a reply that is an exception (App §7).
const failed = 0x80

// An Exception is the error of a unit that refuses a request (App §7).
type Exception byte

const (
	IllegalFunction Exception = 1
	IllegalAddress  Exception = 2
	IllegalValue    Exception = 3
	DeviceFailure   Exception = 4
	Acknowledge     Exception = 5
	DeviceBusy      Exception = 6
	ParityError     Exception = 8
	NoPath          Exception = 10 // of a gateway
	NoTarget        Exception = 11 // a gateway's unit does not reply
)

var exceptionText = map[Exception]string{
	IllegalFunction: "illegal function", IllegalAddress: "illegal data address", IllegalValue: "illegal data value",
	DeviceFailure: "device failure", Acknowledge: "acknowledged, not done yet", DeviceBusy: "device busy", ParityError: "memory parity error",
	NoPath: "gateway path unavailable", NoTarget: "gateway target does not respond",
}

func (e Exception) Error() string {
	if s, ok := exceptionText[e]; ok {
		return "modbus: " + s
	}
	return fmt.Sprintf("modbus: exception %d", byte(e))
}

// errReply is a reply that has the form of one, and not what was asked.
var errReply = errors.New("modbus: the reply does not fit the request")

// How many there may be in one request (App §6.1 to §6.12).
const (
	mostReadBits  = 2000
	mostReadRegs  = 125
	mostWriteBits = 1968
	mostWriteRegs = 123
)

// readPDU is the request for n values from addr on.
func readPDU(t Table, addr uint16, n int) ([]byte, error) {
	function, most := byte(0), mostReadRegs
	switch t {
	case Coils:
		function, most = readCoils, mostReadBits
	case Discrete:
		function, most = readDiscrete, mostReadBits
	case Input:
		function = readInput
	case Holding:
		function = readHolding
	default:
		return nil, fmt.Errorf("modbus: read: %v", t)
	}
	if err := inRange("read", addr, n, most); err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{function}, addr), uint16(n)), nil
}

func inRange(op string, addr uint16, n, most int) error {
	if n < 1 || n > most || int(addr)+n > 1<<16 {
		return fmt.Errorf("modbus: %s: %d values from address %d: want 1 to %d, up to address 65535", op, n, addr, most)
	}
	return nil
}

// writePDU is the request to write values from addr on. many has one value written by the function
// for several.
func writePDU(t Table, addr uint16, values []uint16, many bool) ([]byte, error) {
	be := binary.BigEndian
	single := len(values) == 1 && !many
	switch t {
	case Coils:
		if err := inRange("write", addr, len(values), mostWriteBits); err != nil {
			return nil, err
		}
		if single {
			on := uint16(0)
			if values[0] != 0 {
				on = 0xff00 // App §6.5
			}
			return be.AppendUint16(be.AppendUint16([]byte{writeCoil}, addr), on), nil
		}
		b := be.AppendUint16(be.AppendUint16([]byte{writeCoils}, addr), uint16(len(values)))
		b = append(b, byte((len(values)+7)/8))
		at := len(b)
		b = append(b, make([]byte, (len(values)+7)/8)...)
		for i, v := range values {
			if v != 0 {
				b[at+i/8] |= 1 << (i % 8)
			}
		}
		return b, nil
	case Holding:
		if err := inRange("write", addr, len(values), mostWriteRegs); err != nil {
			return nil, err
		}
		if single {
			return be.AppendUint16(be.AppendUint16([]byte{writeRegister}, addr), values[0]), nil
		}
		b := be.AppendUint16(be.AppendUint16([]byte{writeRegisters}, addr), uint16(len(values)))
		b = append(b, byte(2*len(values)))
		for _, v := range values {
			b = be.AppendUint16(b, v)
		}
		return b, nil
	}
	return nil, fmt.Errorf("modbus: write: %v: only coils and holding registers can be written", t)
}

// replySize returns how long the reply to a request is, if it is no exception.
func replySize(request []byte) int {
	switch n := int(binary.BigEndian.Uint16(request[3:])); request[0] {
	case readCoils, readDiscrete:
		return 2 + (n+7)/8
	case readHolding, readInput:
		return 2 + 2*n
	}
	return 5
}

// parseReply takes the reply to a request apart. It returns the values of one that reads.
func parseReply(request, reply []byte) ([]uint16, error) {
	switch {
	case len(reply) == 2 && reply[0] == request[0]|failed:
		return nil, Exception(reply[1])
	case len(reply) != replySize(request) || reply[0] != request[0]:
		return nil, errReply
	}
	switch n := int(binary.BigEndian.Uint16(request[3:])); request[0] {
	case readCoils, readDiscrete:
		if int(reply[1]) != len(reply)-2 {
			return nil, errReply
		}
		values := make([]uint16, n)
		for i := range values {
			values[i] = uint16(reply[2+i/8]>>(i%8)) & 1
		}
		return values, nil
	case readHolding, readInput:
		if int(reply[1]) != len(reply)-2 {
			return nil, errReply
		}
		values := make([]uint16, n)
		for i := range values {
			values[i] = binary.BigEndian.Uint16(reply[2+2*i:])
		}
		return values, nil
	}
	// A write is confirmed by its address and its value or number (App §6.5, §6.6, §6.11, §6.12).
	if string(reply[1:5]) != string(request[1:5]) {
		return nil, errReply
	}
	return nil, nil
}
