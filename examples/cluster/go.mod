module github.com/seed4930a636/mangusta/examples/cluster

go 1.26.0

require (
	github.com/golang-jwt/jwt/v5 v5.3.1
	github.com/gorilla/websocket v1.5.3
	github.com/seed4930a636/mangusta v0.0.0
	github.com/seed4930a636/mangusta/cluster/nats v0.0.0
	github.com/seed4930a636/mangusta/cluster/redis v0.0.0
	github.com/seed4930a636/mangusta/examples v0.0.0
)

require (
	github.com/antithesishq/antithesis-sdk-go v0.9.0-default-no-op // indirect
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/gobwas/ws v1.5.0 // indirect
	github.com/google/go-tpm v0.9.8 // indirect
	github.com/klauspost/compress v1.20.4 // indirect
	github.com/minio/highwayhash v1.0.4 // indirect
	github.com/nats-io/jwt/v2 v2.8.3 // indirect
	github.com/nats-io/nats-server/v2 v2.15.3 // indirect
	github.com/nats-io/nats.go v1.55.0 // indirect
	github.com/nats-io/nkeys v0.4.17 // indirect
	github.com/nats-io/nuid v1.0.1 // indirect
	github.com/valkey-io/valkey-go v1.0.79 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.50.0 // indirect
	golang.org/x/time v0.16.0 // indirect
)

replace (
	github.com/seed4930a636/mangusta => ../..
	github.com/seed4930a636/mangusta/cluster/nats => ../../cluster/nats
	github.com/seed4930a636/mangusta/cluster/redis => ../../cluster/redis
	github.com/seed4930a636/mangusta/examples => ..
)
