module github.com/seed4930a636/mangusta/bench

go 1.26.0

require (
	github.com/seed4930a636/mangusta v0.0.0
	github.com/seed4930a636/mangusta/examples v0.0.0
)

require github.com/klauspost/compress v1.20.3

require (
	github.com/molecule-man/go-brrr v1.3.0 // indirect
	github.com/valyala/bytebufferpool v1.0.0 // indirect
	github.com/valyala/fasthttp v1.77.0 // indirect
)

replace (
	github.com/seed4930a636/mangusta => ../
	github.com/seed4930a636/mangusta/examples => ../examples
)
