// Package about tells what a device runs: the program, its modules and their licences, the kernel,
// the board.
//
//	//go:embed licences.json
//	var licencesJSON []byte
//
//	a, err := about.New(about.Options{Name: "thermostat", Version: "1.4.0", Licences: licencesJSON})
//	a.Mount(x, "/about", o.Allow(device.Viewer, "about"))
//
// The modules and their versions are those that the linker has noted (debug.ReadBuildInfo). The
// licences are a file that the command golicences makes from the modules' own, with
//
//	//go:generate go run github.com/seed4930a636/mangusta/device/about/licences/golicences
//
// and a test of the program compares the file with go.mod: see licences.Check.
package about
