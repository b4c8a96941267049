# The face of the project. Every target installs what it needs first (apt, Debian 12).
#   make demo   build, start one agent, run a web service on real containers and show it
#   make test   build and pass all tests, unit and conformance tests under ASan+UBSan and TSan too; SANITIZERS= without
#   make sim    SEEDS=n FIRST_SEED=k   the whole-cluster simulator; WIDE=1: only full worlds; MUTANTS=1: every deliberate defect must be seen
#   make soak   RUNS=n FIRST_SEED=k   real agents under load and mixed faults, run after run
#   make bench  figures as ratios against a floor of the same run
#   make fuzz   SECONDS=n per target;   make lint   clang-format and clang-tidy on changed files
PRESET ?= dev
BUILD = build/$(PRESET)
JOBS ?= $(shell nproc)
SEEDS ?= 2000
FIRST_SEED ?= 1
RUNS ?= 200
SECONDS ?= 60
SANITIZERS ?= asan-ubsan tsan

.PHONY: build sanitized demo test sim soak bench fuzz lint clean packages
packages:
	@tools/install-packages build run test
build: packages
	@cmake --preset $(PRESET) >/dev/null
	@cmake --build $(BUILD) -j $(JOBS)
sanitized: packages
	@for preset in $(SANITIZERS); do cmake --preset $$preset >/dev/null && cmake --build build/$$preset -j $(JOBS) || exit 1; done
demo: build
	@tools/demo $(BUILD)
test: build sanitized
	@tools/run-tests $(BUILD) $(SANITIZERS:%=build/%)
sim: build
	@$(if $(MUTANTS),$(BUILD)/test-bin/sim_mutants --seeds=$(SEEDS) --seconds=300 $(foreach test,raft manager managers control,--also=$(BUILD)/test-bin/unit_$(test)_mutants),$(BUILD)/test-bin/sim $(if $(WIDE),--wide) --seeds=$(SEEDS)) --first-seed=$(FIRST_SEED)
soak: build
	@tools/soak $(BUILD) $(RUNS) $(FIRST_SEED)
bench:
	@tools/install-packages build run test bench
	@cmake --preset release >/dev/null
	@cmake --build build/release -j $(JOBS) --target bench_programs
	@tools/bench build/release
fuzz:
	@tools/install-packages build lint
	@tools/fuzz $(SECONDS)
lint: build
	@tools/install-packages lint
	@tools/lint $(BUILD)
clean:
	@rm -rf build
