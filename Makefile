# Everything a developer types. `make test` installs what it needs.

GO ?= go
FUZZTIME ?= 10000x
SOAKFUZZ ?= 2000000x
export GO

# section names what begins, so that a long log can be read.
section = @printf '\n== %s\n' "$(1)"

.PHONY: help build test need lint unit fuzz conformance bench soak

help: ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/earshot
	$(GO) build -trimpath -o bin/earshot ./cmd/earshot

# One after the other, whatever -j says: they measure, and share two cores.
test: ## everything, in under 20 minutes on two cores
	@$(MAKE) --no-print-directory need
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory fuzz
	@$(MAKE) --no-print-directory conformance
	$(call section,everything passed)

need: ## what the tests need besides Go; installed on Debian
	$(call section,need)
	@./scripts/need

lint: ## go vet, staticcheck, gofumpt
	$(call section,lint)
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	$(GO) tool staticcheck ./...
	@unformatted=$$($(GO) tool gofumpt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "not formatted:"; echo "$$unformatted"; exit 1; fi

unit: ## unit tests, promises and faults, with the race detector; never from the cache, which cannot see the binary that the faults build
	$(call section,unit)
	$(GO) test -race -count=1 -timeout 15m ./...

fuzz: ## each fuzz target with 10000 inputs, or FUZZTIME
	$(call section,fuzz)
	@./scripts/fuzz $(FUZZTIME)

conformance: build ## real clients against the built server
	$(call section,conformance)
	@./conformance/run.sh

bench: build ## load figures, each beside its floor; eight minutes
	@./scripts/bench

soak: build ## long: kills and power cuts many times over, an hour of fuzzing (SOAKFUZZ inputs each)
	EARSHOT_SOAK=20 $(GO) test -count=1 -timeout 60m -run 'TestKill' ./faults ./engine/nats
	EARSHOT_SOAK=50 $(GO) test -count=1 -timeout 60m -run 'TestPowerCut' ./engine/nats
	EARSHOT_SOAK=20 $(GO) test -count=1 -timeout 30m -v -run 'TestLogin' ./faults
	EARSHOT_SOAK=200 $(GO) test -count=1 -timeout 60m -v ./tenancy
	EARSHOT_SOAK=1 $(GO) test -count=1 -v -run 'TestManyApps' ./tenant
	EARSHOT_SOAK=100 $(GO) test -count=1 -run 'TestMergeOverRestarts' ./usage
	EARSHOT_SOAK=50 $(GO) test -count=1 -timeout 60m -run 'TestChurn' ./function
	@./scripts/fuzz $(SOAKFUZZ)
