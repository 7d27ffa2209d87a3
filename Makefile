# Each target makes what it needs, in .venv and nowhere else. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
PY := $(VENV)/bin/python
REQ := requirements
DEMO_OUT ?= out/demo
PYTEST_ARGS ?=
# More words for pip, e.g. PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_ARGS ?=
PIP = $(PY) -m pip install -qq --disable-pip-version-check --no-input \
	-c $(REQ)/constraints.txt $(PIP_ARGS)

# A sourced ROS 2 is used instead of the wheels, with its own Python and its own NumPy generation.
ROS := $(shell [ -n "$${ROS_DISTRO:-}" ] && python3 -c "import rclpy" 2>/dev/null && echo "$$ROS_DISTRO")
ROS_NUMPY := $(if $(ROS),$(shell python3 -c "import numpy; print(numpy.__version__[0])" 2>/dev/null || echo 1))
KIND := $(if $(ROS),ros-$(ROS),wheels)

# Without ROS: the first Python for which the wheels of rclpy exist.
PYTHON ?= $(if $(ROS),python3,$(or $(shell for p in python3 python3.12 python3.11 python3.10; do \
	if $$p -c "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))" 2>/dev/null; \
	then echo $$p; break; fi; done),python3))

RUN := $(if $(filter 1,$(ROS_NUMPY)),humble,base) eval $(if $(ROS),,ros-jazzy)
DEV := train export dev
NO_DEPS := $(REQ)/no-deps.txt

# A stamp is named by the hash of what it depends on: nothing is installed twice, nothing missed.
hash = $(shell cat Makefile $(1) | sha256sum | cut -c1-12)
files = $(REQ)/constraints.txt $(patsubst %,$(REQ)/%.txt,$(1))
VENV_STAMP := $(VENV)/.made-$(KIND)
RUN_STAMP := $(VENV)/.run-$(call hash,setup.py setup.cfg $(call files,$(RUN)))
DEV_STAMP := $(VENV)/.dev-$(call hash,setup.py setup.cfg $(NO_DEPS) $(call files,$(RUN) $(DEV)))

.PHONY: help setup demo test lint bench soak models ros-install clean

help: ## list the targets
	@echo "make TARGET"
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1|\2/p' Makefile | column -t -s "|"

setup: $(DEV_STAMP) ## everything into .venv: running, training, export, development
	@echo "==> ready: source $(VENV)/bin/activate && sartm doctor"

demo: $(RUN_STAMP) ## a synthetic RGB-thermal bag through the real node, into out/demo
	@$(PY) -m sartm_ros.demo --out $(DEMO_OUT)

test: $(DEV_STAMP) ## all tests; PYTEST_ARGS="-k name" for some
	@$(if $(ROS),PYTEST_DISABLE_PLUGIN_AUTOLOAD=1) $(PY) -m pytest \
		$(if $(ROS),-p pytest_timeout -p _hypothesis_pytestplugin) $(PYTEST_ARGS)

lint: $(DEV_STAMP) ## ruff (rules and format) and mypy (strict on sartm_core)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

bench: $(RUN_STAMP) ## speed, latency, transport, start-up: benchmarks/results/, docs/benchmarks.md
	@mkdir -p out/bench
	@$(PY) -m sartm_core bench sartm-s --node --json > out/bench/bench.json
	@$(PY) -m sartm_core bench sartm-s --node --camera 1920x1080 --json > out/bench/bench_1080p.json
	@cp out/bench/bench.json out/bench/bench_1080p.json benchmarks/results/
	@$(PY) -m benchmarks.transport
	@$(PY) -m benchmarks.startup
	@$(PY) -m benchmarks.overhead
	@$(PY) -m sartm_core bag make --data synthetic:0 --duration 10 --overwrite out/bench/drive.mcap
	@$(PY) -m benchmarks.overload out/bench/drive.mcap
	@$(PY) -m benchmarks.table

soak: $(RUN_STAMP) ## 10,000 calls and 200 loads: memory, files, threads; half an hour, benchmarks/results/soak.json
	@$(PY) -m benchmarks.soak

# Frames that leave training where temperatures are fitted; both sets were recorded in sequences.
DEV_FRAMES := 'data.dev=[00121D-00128D,00357D-00388D,00701N-00704N,00721N-00728N,01057N-01094N,01453D-01474D]' \
	data.guard=4

models: $(DEV_STAMP) ## retrain sartm-s and sartm-n from SARTM_DATA into out/models: hours, goes on where it stopped
	@$(MAKE) out/models/sartm-s
	@$(MAKE) out/models/sartm-n INIT=train.init=out/train/sartm-s/last.ckpt

# The temperatures of the confidence are those of a second run, without the dev frames.
out/models/sartm-%: $(DEV_STAMP)
	@$(PY) training/train.py --config config/train/student_$*.yaml $(INIT)
	@$(PY) training/train.py --config config/train/student_$*.yaml $(INIT) \
		out=out/train/sartm-$*-dev $(DEV_FRAMES)
	@$(PY) training/export.py out/train/sartm-$*-dev/last.ckpt --out out/models/sartm-$*-dev
	@$(PY) training/export.py out/train/sartm-$*/last.ckpt --out $@ --precision fp32,int8,int8cpu \
		--temperature-from out/models/sartm-$*-dev

ros-install: ## beside an installed, sourced ROS 2: .venv for the node, then colcon build
	@if [ -z "$(ROS)" ]; then \
		echo "error: no sourced ROS 2 found (ROS_DISTRO and python3's rclpy);" \
			"run 'source /opt/ros/DISTRO/setup.bash' first, or use 'make demo', which needs no ROS" >&2; \
		exit 1; fi
	@if ! command -v colcon >/dev/null; then \
		echo "error: colcon is missing; run 'sudo apt install python3-colcon-common-extensions'" >&2; \
		exit 1; fi
	@$(MAKE) $(RUN_STAMP)
	@echo "==> colcon build"
	@colcon build
	@echo "==> in every shell: source $(abspath $(VENV))/bin/activate && source $(abspath install)/setup.bash"
	@echo "==> then: ros2 launch sartm_ros segment.launch.py rgb_topic:=... thermal_topic:=..."

clean: ## remove what was built; training runs (out/train) and .venv stay
	@rm -rf build install log out/demo out/bench .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	@find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +

# A .venv made for another kind of ROS is made anew: its packages would hide the right ones.
$(VENV_STAMP):
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 10))" || { \
		echo "error: Python 3.10 or newer is needed, '$(PYTHON)' is $$($(PYTHON) -V 2>&1);" \
			"install one and name it: make PYTHON=python3.11 ..." >&2; exit 1; }
	@if [ -z "$(ROS)" ]; then \
		if [ "$$(uname -sm)" != "Linux x86_64" ]; then \
			echo "error: without an installed ROS 2 the node runs on x86-64 Linux only, this is" \
				"$$(uname -sm); install ROS 2 (docs/install.md), source it and run make again" >&2; \
			exit 1; fi; \
		$(PYTHON) -c "import sys; sys.exit(sys.version_info[:2] > (3, 12))" || { \
			echo "error: the wheels of rclpy exist for Python 3.10 to 3.12, '$(PYTHON)' is" \
				"$$($(PYTHON) -V); install one of those and name it: make PYTHON=python3.12 ..." >&2; \
			exit 1; }; \
	fi
	@echo "==> making $(VENV) with $$($(PYTHON) -V)$(if $(ROS), and the packages of ROS 2 $(ROS))"
	@if compgen -G "$(VENV)/.made-*" >/dev/null; then rm -rf $(VENV); fi
	@$(PYTHON) -m venv $(if $(ROS),--system-site-packages) $(VENV) || { \
		echo "error: '$(PYTHON) -m venv' failed; on Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
	@touch $@

$(RUN_STAMP): $(VENV_STAMP)
	@echo "==> installing what running needs ($(strip $(RUN))): a minute or two"
	@$(PIP) $(patsubst %,-r $(REQ)/%.txt,$(RUN))
	@$(PIP) --no-deps --no-build-isolation --use-pep517 -e .
	@rm -f $(VENV)/.run-*; touch $@

$(DEV_STAMP): $(RUN_STAMP)
	@echo "==> installing training and development parts ($(DEV)): torch is large, a few minutes"
	@$(PIP) --no-deps -r $(NO_DEPS)
	@$(PIP) $(patsubst %,-r $(REQ)/%.txt,$(DEV))
	@rm -f $(VENV)/.dev-*; touch $@
