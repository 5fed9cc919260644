module github.com/seed4930a636/mangusta/device

go 1.26.0

require (
	aead.dev/minisign v0.3.0
	github.com/gobwas/ws v1.5.0
	github.com/seed4930a636/mangusta v0.0.0
	golang.org/x/crypto v0.58.0
	golang.org/x/sys v0.49.0
)

require github.com/gobwas/httphead v0.1.0 // indirect

replace github.com/seed4930a636/mangusta => ../
