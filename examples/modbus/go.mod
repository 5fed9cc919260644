module github.com/seed4930a636/mangusta/examples/modbus

go 1.26.0

require (
	github.com/seed4930a636/mangusta v0.0.0
	github.com/seed4930a636/mangusta/device v0.0.0
	github.com/seed4930a636/mangusta/examples v0.0.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/gobwas/ws v1.5.0 // indirect
)

replace (
	github.com/seed4930a636/mangusta => ../..
	github.com/seed4930a636/mangusta/device => ../../device
	github.com/seed4930a636/mangusta/examples => ..
)
