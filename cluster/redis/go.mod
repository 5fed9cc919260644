module github.com/seed4930a636/mangusta/cluster/redis

go 1.26.0

require (
	github.com/seed4930a636/mangusta v0.0.0
	github.com/valkey-io/valkey-go v1.0.79
)

require (
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/gobwas/ws v1.5.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/seed4930a636/mangusta => ../..
