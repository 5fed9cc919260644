package files_test

import (
	"fmt"
	"os"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device/files"
	"github.com/seed4930a636/mangusta/http"
)

func Example() {
	dir, err := os.MkdirTemp("", "files")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	f, err := files.New(files.Options{Root: dir, MaxBytes: 16 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	// A device asks owner.Allow here.
	everybody := func(c *conn.Conn, r *http.Request) bool { return true }
	x := http.NewMux()
	f.Mount(x, "/files", everybody, everybody)
	fmt.Println("mounted")
	// Output: mounted
}
