package update_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/seed4930a636/mangusta/device/update"
)

// A script starts b at the next start of the device, once, and a after that.
func ExampleBootFile() {
	dir, err := os.MkdirTemp("", "boot")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	boot := &update.BootFile{Path: filepath.Join(dir, "boot")}
	if err := boot.SetCurrent("a"); err != nil {
		log.Fatal(err)
	}
	if err := boot.Try("b"); err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(boot.Path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(text))
	// Output:
	// current=a
	// try=b
}
