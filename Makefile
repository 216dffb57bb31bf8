# yolk: make run boots the web example, make test runs everything.

SHELL := /bin/bash
GO    ?= go
YOLK  := bin/yolk

# The race detector needs a C compiler on the host.
RACE := $(shell command -v gcc >/dev/null && echo -race)

.PHONY: all run test lint test-host test-vm std-tests std-tests-sample bench bench-disk powercut fuzz abi-diff faults databases databases-own soak attack scaling distance qemu test-tools toolchain clean

all: $(YOLK)

.PHONY: $(YOLK)
$(YOLK):
	@$(GO) build -o $@ ./tools/yolk

# QEMU, from the distribution's packages where that is allowed.
qemu:
	@command -v qemu-system-x86_64 >/dev/null || { \
		if [ "$$(id -u)" = 0 ]; then sudo=; elif command -v sudo >/dev/null; then sudo=sudo; else \
			echo "install QEMU: apt-get install qemu-system-x86"; exit 1; fi; \
		$$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends qemu-system-x86; }

toolchain: $(YOLK)
	@$(YOLK) toolchain >/dev/null

# Boots examples/web and prints a URL once it answers. PORT=N picks the port.
PORT ?= 8080
run: qemu toolchain
	@port=$(PORT); \
	while (exec 3<>/dev/tcp/127.0.0.1/$$port) 2>/dev/null; do port=$$((port + 1)); done; \
	( while kill -0 $$$$ 2>/dev/null; do \
		if (exec 3<>/dev/tcp/127.0.0.1/$$port && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && read -t 5 -u 3 line && [[ $$line == HTTP* ]]) 2>/dev/null; then \
			echo "open http://127.0.0.1:$$port/ (Ctrl-C stops the VM)"; exit; fi; \
		sleep 0.1; done ) & \
	exec $(YOLK) run -p $$port:8080 ./examples/web

# The wiring is run by tests on the host, of which 70 % of its statements at least; what
# stands in for the machine there does not count. Package runtime's tests run runtime/wiring/cards.
WIRING    := runtime/wiring
HOST_ONLY := /machine_host[a-z_]*\.go$$|_host\.go$$|/wiringtest/

# Host tests with the race detector, then the tests that boot VMs, and one
# summary of both.
test: qemu test-tools lint
	@{ $(MAKE) --no-print-directory -s test-host; $(MAKE) --no-print-directory -s test-vm; } 2>&1 | \
		$(GO) run ./tools/internal/testsum

# go vet and staticcheck over every package that the host's tools can load: not those
# placed in upstream's folders (TestPackagesAreListed).
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
lint:
	@$(GO) vet ./...
	@$(GO) run $(STATICCHECK) $$($(GO) list ./... | grep -v /runtime/goroot/)

# What tests of file systems compare with, and a network of yolk run. Without them tests say what
# they skip.
test-tools:
	@{ command -v mkfs.erofs && command -v passt; } >/dev/null || [ "$$(id -u)" != 0 ] || { apt-get update -qq && apt-get install -y -qq --no-install-recommends erofs-utils passt; }

test-host:
	@$(GO) test -json $(RACE) -short -timeout 8m $$($(GO) list ./... | grep -v -e /yolk/test -e '/yolk/runtime$$' -e /$(WIRING)) || true
	@cover=$$(mktemp); trap 'rm -f $$cover' EXIT; \
	$(GO) test -json $(RACE) -short -timeout 8m -coverpkg=./$(WIRING)/... -coverprofile=$$cover ./runtime ./$(WIRING)/... || true; \
	$(GO) run ./tools/internal/covered -least 70 -without '$(HOST_ONLY)' $$cover || \
		echo '{"Action":"fail","Package":"coverage of ./$(WIRING)/..."}'

# With every fuzz target for a few hundred executions, and netstack's tests of what images' copy of
# gVisor does.
test-vm: qemu
	@$(GO) test -json -timeout 15m -p 1 ./test/... ./tools/fuzz || true
	@$(GO) test -json -timeout 15m ./tools/internal/toolchain -run TestEditedStack || true

# The standard library's own tests in VMs, compared with Linux: all packages (an
# hour), or the sample of continuous integration. CPUS=N picks the VMs' CPUs;
# STDTESTS has more flags, such as -jobs 2.
CPUS ?= 1
std-tests: qemu
	@$(GO) run ./tools/stdtests -smp $(CPUS) $(STDTESTS)

std-tests-sample: qemu
	@$(GO) run ./tools/stdtests -smp $(CPUS) -sample $(STDTESTS)

# yolk beside Linux on the same VMM, interleaved; prints medians and spread.
bench: qemu toolchain
	@$(GO) run ./tools/bench

# Power cuts: crash images of a workload on a disk, each mounted and checked.
# The tests of make test build 60.
CASES ?= 2000
SEED  ?= $(shell date +%s)
powercut:
	@$(GO) test ./kernel/fs/ext4fs -run TestPowerCut -timeout 0 -v -cases $(CASES) -seed $(SEED) | grep -v -e '^ *--- PASS' -e '^=== '
	@$(GO) test ./kernel/fs/ext4/jbd2 -run TestCrash -timeout 0 -crashes $$(($(CASES) / 12 + 1))

# Databases in VMs: power cuts and kills, and with databases-own the test suites that
# they bring along (an hour or more; SUITES=bbolt,sqlite picks).
KILLS  ?= 50
SUITES ?= all
databases: qemu
	@$(GO) test ./test/databases -run 'TestPowerCuts|TestKills' -timeout 0 -v -cases $(CASES) -kills $(KILLS) -seed $(SEED) | grep -v -e '^ *--- PASS' -e '^=== '
databases-own: qemu
	@$(GO) test ./test/databases -run TestSuites -timeout 0 -v -suites $(SUITES)

# Fuzzing of everything that comes from outside, and of the machine half's algorithms: every fuzz
# target for N executions, and then MUTATIONS random changes of each kind of disk metadata. PICK is
# a regular expression of "folder target".
N         ?= 50000
PICK      ?=
MUTATIONS ?= 10000
fuzz:
	@$(GO) run ./tools/fuzz -n $(N) -run '$(PICK)'
	@YOLK_MUTATIONS=$(MUTATIONS) YOLK_SEED=$$(date +%s) $(GO) test ./kernel/fs/ext4 -run TestMutations -timeout 0

# The kernel's system calls beside Linux's: OPS calls, drawn from SEED, and the shortest sequence
# for each difference. ABIDIFF has more flags (go run ./tools/abidiff -h).
OPS ?= 1000000
abi-diff:
	@$(GO) run ./tools/abidiff -ops $(OPS) -seed $(SEED) $(ABIDIFF)
	@edited=$$(mktemp -d) && trap 'rm -rf "$$edited"' EXIT && \
	$(GO) run -modfile=$$($(GO) run ./tools/editedstack "$$edited") ./tools/abidiff \
		-families internet,descriptors,poll -ops $$(($(OPS) / 10)) -seed $(SEED) $(ABIDIFF)

# Device faults: errors, short lives, hangs, full disks.
faults:
	@$(GO) test ./kernel/fs/ext4 ./kernel/fs/ext4/jbd2 ./kernel/fs/pagecache ./drivers/virtio/blk -run 'Err|Fail|Fault|Full|Hang|Stall|Refus' -count=$(or $(COUNT),1)

# The disk of both, in the same way.
bench-disk: qemu toolchain
	@$(GO) run ./tools/bench -disk

# Four CPUs kept busy with everything at once; FOR=30m is the length. A host with
# fewer than four free cores makes the guest stall: STALL is what is allowed.
FOR   ?= 30m
STALL ?= 1s
soak: qemu $(YOLK)
	@$(YOLK) run -smp 4 -m 512M ./test/testdata/soak -for $(FOR) -stall $(STALL)

# Floods of all kinds against VMs of 64 and 256 MiB, and how much memory they take; FOR is the
# length of all together.
attack: qemu
	@$(GO) test ./test/attack -timeout 0 -v -for $(FOR) | grep -v -e '^=== ' -e '^ *--- PASS: TestAttack$$'

# What a second CPU gives to hashing and sorting, on a host with two that are free.
scaling: qemu $(YOLK)
	@for i in 1 2 3; do for n in 1 2; do $(YOLK) run -accel tcg -smp $$n ./test/testdata/scaling; done; done

# How far the port is from upstream Go.
distance:
	@$(GO) run ./tools/distance

# The port on every patch release of the supported Go releases that can be had:
# fetches each, builds the toolchain, boots programs and tests. Passes are kept
# until the port changes. GOS="1.26.0 1.27.4" picks some, ARGS=-json and others
# go to tools/matrix.
GOS  ?=
ARGS ?=
matrix: qemu
	@$(GO) run ./tools/matrix -go "$(GOS)" $(ARGS)

clean:
	rm -rf bin
