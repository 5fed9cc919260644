package about_test

import (
	"fmt"

	"github.com/seed4930a636/mangusta/device/about"
)

func Example() {
	a, err := about.New(about.Options{Name: "thermostat", Version: "1.4.0", Board: "box-2"})
	if err != nil {
		fmt.Println(err)
		return
	}
	i := a.Info()
	fmt.Println(i.Name, i.Version, "on", i.Board)
	// Output: thermostat 1.4.0 on box-2
}
