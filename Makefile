# Everything a developer types. `make test` installs what it needs.

GO ?= go
FUZZTIME ?= 3s

.PHONY: build test lint unit fuzz conformance bench soak

build: ## bin/earshot
	$(GO) build -trimpath -o bin/earshot ./cmd/earshot

test: lint unit fuzz conformance ## everything, in under 20 minutes on two cores

lint: ## go vet, staticcheck, gofumpt
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./transport ./ws ./stream ./hub
	$(GO) tool staticcheck ./...
	@unformatted=$$($(GO) tool gofumpt -l .); if [ -n "$$unformatted" ]; then echo "not formatted: $$unformatted"; exit 1; fi

unit: ## unit tests, promises, faults, all with the race detector
	$(GO) test -race -timeout 15m ./...

fuzz: ## each fuzz target for FUZZTIME
	./scripts/fuzz $(FUZZTIME)

conformance: build ## real clients against the built server
	./conformance/run.sh

bench: build ## load figures, each beside its floor
	./scripts/bench

soak: build ## long: fuzz hours, kills and power cuts many times over
	EARSHOT_SOAK=20 $(GO) test -count=1 -timeout 60m -run 'TestKill' ./faults ./engine/nats
	EARSHOT_SOAK=50 $(GO) test -count=1 -timeout 60m -run 'TestPowerCut' ./engine/nats
	./scripts/fuzz 10m
