package main

import (
	"path/filepath"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/files"
	"github.com/seed4930a636/mangusta/http"
)

// serveFiles lets users keep files on the device. Without a directory for them, as on a disk that is
// damaged, the device does all else.
func (p *product) serveFiles(x *http.Mux, audit func(device.Entry)) {
	var err error
	p.files, err = files.New(files.Options{
		Root: filepath.Join(p.cfg.data, "files"), MaxBytes: 32 << 20, MaxFiles: 1000,
		Who: p.owner.Who("files"), Audit: audit, Log: p.log,
	})
	if err != nil {
		p.log.Error("this device keeps no files", "why", err)
		return
	}
	may := p.owner.Allow(device.User, "files")
	p.files.Mount(x, "/files", may, may)
}
