package network_test

import (
	"fmt"

	"github.com/seed4930a636/mangusta/device/network"
)

func ExampleRead() {
	s, err := network.Read()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, f := range s.Interfaces {
		if f.Loopback {
			fmt.Println(f.Name)
		}
	}
	// Output: lo
}
