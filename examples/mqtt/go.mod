module github.com/seed4930a636/mangusta/examples/mqtt

go 1.26.0

require (
	github.com/chromedp/chromedp v0.23.0
	github.com/seed4930a636/mangusta v0.0.0
	github.com/seed4930a636/mangusta/device v0.0.0
	github.com/seed4930a636/mangusta/examples v0.0.0
	github.com/seed4930a636/mangusta/mqtt v0.0.0
)

require (
	github.com/chromedp/cdproto v0.159.0 // indirect
	github.com/eclipse/paho.golang v0.23.0 // indirect
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/gobwas/ws v1.5.0 // indirect
	github.com/gorilla/websocket v1.5.3 // indirect
	github.com/mochi-mqtt/server/v2 v2.7.9 // indirect
	github.com/rs/xid v1.4.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)

replace (
	github.com/seed4930a636/mangusta => ../..
	github.com/seed4930a636/mangusta/device => ../../device
	github.com/seed4930a636/mangusta/examples => ..
	github.com/seed4930a636/mangusta/mqtt => ../../mqtt
)
