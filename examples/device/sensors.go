package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const maxSensors = 16

// sensors reads the thermometers: thermal zones, which every SoC has, or else the hwmon chips of
// boards and disks. A zone and a chip are often the same sensor, so only one of the two lists is
// used.
func (s *sampler) sensors() ([]Sensor, error) {
	out := s.thermalZones()
	if len(out) == 0 {
		out = s.hwmon()
	}
	if len(out) == 0 {
		return nil, errors.New("no sensor under " + filepath.Join(s.sys, "class"))
	}
	return out[:min(len(out), maxSensors)], nil
}

func (s *sampler) thermalZones() []Sensor {
	zones, _ := filepath.Glob(filepath.Join(s.sys, "class/thermal/thermal_zone*")) // the pattern is well-formed
	var out []Sensor
	for _, zone := range zones {
		name := readLine(filepath.Join(zone, "type"))
		if name == "" {
			name = filepath.Base(zone)
		}
		out = appendSensor(out, name, filepath.Join(zone, "temp"))
	}
	return out
}

func (s *sampler) hwmon() []Sensor {
	inputs, _ := filepath.Glob(filepath.Join(s.sys, "class/hwmon/hwmon*/temp*_input")) // the pattern is well-formed
	var out []Sensor
	for _, input := range inputs {
		chip := readLine(filepath.Join(filepath.Dir(input), "name"))
		if chip == "" {
			chip = filepath.Base(filepath.Dir(input))
		}
		if label := readLine(strings.TrimSuffix(input, "_input") + "_label"); label != "" {
			chip += " " + label
		}
		out = appendSensor(out, chip, input)
	}
	return out
}

// appendSensor leaves out what no thermometer says: drivers of absent sensors answer with an error,
// 0 K or the like.
func appendSensor(out []Sensor, name, file string) []Sensor {
	milli, err := strconv.ParseFloat(readLine(file), 64)
	if err != nil || !(milli > -100_000 && milli < 250_000) {
		return out
	}
	return append(out, Sensor{Name: name, Celsius: *round(milli/1000, 1)})
}

// readLine returns the first line of a file in /proc or /sys without blanks around it, or "".
func readLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.Trim(line, " \t\r\x00") // the device tree's strings end with NUL
}
