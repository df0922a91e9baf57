# Two commands do everything: `make lab` and `make test`. The rest is for those who work on mesh itself.

CARGO ?= cargo
TARGET := x86_64-unknown-linux-gnu
# Where cargo puts what it builds.
TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CARGO_BUILD_TARGET_DIR),target)
STATIC = $(TARGET_DIR)/$(TARGET)/release/mesh
E2E_FLAGS ?=
LAB_NODES ?= 3
# What the lab needs of the system; what the tests need besides.
LAB_TOOLS := ip:iproute2 nft:nftables iptables-restore:iptables cc:gcc
TEST_TOOLS := $(LAB_TOOLS) dnsmasq:dnsmasq-base socat:socat openssl:openssl python3:python3
BENCH_TOOLS := fping:fping ping:iputils-ping tcpdump:tcpdump
BROWSER_TOOLS := $(LAB_TOOLS) chromium:chromium python3:python3

.PHONY: lab test browser e2e lint build release static bench tools-lab tools-test tools-browser tools-bench docs

## Raise a lab, run the mesh over it, show the matrix, take it down.
lab: tools-lab release
	$(TARGET_DIR)/release/mesh lab run --nodes $(LAB_NODES)

## All tests that need no cluster.
test: tools-test lint build
	$(CARGO) test --workspace --locked
	tests/run-as-ordinary-user $(TARGET_DIR)/debug/mesh

## The live page of `mesh serve` in a real browser.
browser: tools-browser build
	tests/e2e/browser/run $(TARGET_DIR)/debug/mesh

## Scenarios on the cluster of the current kubeconfig, whose nodes must have (or be able to pull) the image. E2E_FLAGS may name
## the tool that made a throw-away cluster (--cluster TOOL): then the image is loaded, and faults are raised as well.
e2e: static
	$(STATIC) image -o $(TARGET_DIR)/mesh.tar
	tests/e2e/cluster/run $(STATIC) $(TARGET_DIR)/mesh.tar $(E2E_FLAGS)

## Format, lints, docs, dependencies, each crate alone.
lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked --quiet
	tests/lint/crates-alone
	tests/lint/dependencies
	tests/lint/layout

build:
	$(CARGO) build --workspace --locked

release:
	$(CARGO) build --release --locked --bin mesh

## A fully static binary: target/x86_64-unknown-linux-gnu/release/mesh, or below CARGO_TARGET_DIR
static:
	RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --release --locked --bin mesh --target $(TARGET)

## The numbers of docs/benchmarks.md, each beside its rival or bound, written there. BENCH may name some of the parts:
## engine,lab,agent,decision,image
bench: tools-bench release static
	$(CARGO) build --release --locked -p mesh-sim
	tests/bench/all $(TARGET_DIR)/release/mesh $(TARGET_DIR)/release/mesh-sim $(STATIC) $(if $(BENCH),--only $(BENCH))

tools-lab:
	@deploy/install-tools $(LAB_TOOLS)

tools-browser:
	@deploy/install-tools $(BROWSER_TOOLS)

tools-bench:
	@deploy/install-tools $(TEST_TOOLS) $(BENCH_TOOLS)

tools-test:
	@deploy/install-tools $(TEST_TOOLS)
