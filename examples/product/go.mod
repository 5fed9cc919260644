module github.com/seed4930a636/mangusta/examples/product

go 1.26.0

require (
	aead.dev/minisign v0.3.0
	github.com/chromedp/cdproto v0.159.0
	github.com/chromedp/chromedp v0.23.0
	github.com/gobwas/ws v1.5.0
	github.com/seed4930a636/mangusta v0.0.0
	github.com/seed4930a636/mangusta/device v0.0.0
	github.com/seed4930a636/mangusta/examples v0.0.0
)

require (
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
	github.com/gobwas/httphead v0.1.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace (
	github.com/seed4930a636/mangusta => ../..
	github.com/seed4930a636/mangusta/device => ../../device
	github.com/seed4930a636/mangusta/examples => ..
)
