.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STACK ?= staging
# One more than there are cores: a test of the engine waits for it a part of the time.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

# A rehearsal is a dozen of Python processes, which would each compile the project anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup rehearse test sweep lint format crash faults policies roles docs pictures bench model plugin clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(BIN)/.installed policies/.venv/.installed ## Install Python packages, and the Pulumi CLI where there is none
	@$(BIN)/python -m rehearsal.toolchain

$(BIN)/.installed: requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; set PYTHON=")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.txt
	@touch $@

# The pack has an environment in its own folder, as anywhere else; here it borrows the packages.
policies/.venv/.installed: $(BIN)/.installed
	$(BIN)/python -m venv --without-pip policies/.venv
	echo "$(CURDIR)"/.venv/lib/python*/site-packages > "$$(echo policies/.venv/lib/python*/site-packages)/borrowed.pth"
	@touch $@

rehearse: setup ## Rehearse the whole stack offline; STACK=prod for another one
	$(BIN)/python -m rehearsal up $(STACK)

# glibc keeps memory for each thread that there was, and each simulated cloud is one.
test: export MALLOC_ARENA_MAX = 1
test: setup lint ## Check style and types, and run every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

sweep: setup ## What takes longer: settings changed one by one, faults, crashes; some 35 minutes
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m sweep

crash: setup ## Kill the engine after each of its changes; each time it has to recover
	$(BIN)/python -m rehearsal crash $(STACK)

faults: setup ## Bring the stack up under 20 seeds of faults
	$(BIN)/python -m rehearsal faults $(STACK) --seeds 20

policies: setup ## Judge the checked-in stacks by the policy pack
	$(BIN)/python -m rehearsal.review

roles: setup ## Refresh the role catalogue from Google; needs the network and credentials
	$(BIN)/python -m policies.gcp_access.roles

docs: setup ## Write the pages that are made from code anew, and the site into build/site
	$(BIN)/python -m policies.gcp_access.page > docs/reference/policies.md
	$(BIN)/python -m standin.docs > docs/reference/stand-in.md
	$(BIN)/python -m components.alerts > docs/alerts.md
	$(BIN)/python -m rehearsal.causes > docs/reference/scenarios.md
	$(BIN)/python -m access.report > docs/reference/access.md
	for stack in staging prod; do $(BIN)/python -m access needs $$stack > policies/config/predictive-maintenance/$$stack.access.json; done
	$(BIN)/python -m simulator.coverage > docs/reference/simulated.md
	$(BIN)/python -m simulator.coverage simulator/README.md
	$(BIN)/python -m rehearsal.manual settings > docs/reference/settings.md
	$(BIN)/python -m rehearsal.manual commands > docs/reference/commands.md
	$(MAKE) site

.PHONY: site
site: setup
	$(BIN)/python -m zensical build --clean --strict

# Piped, so that what only a terminal is shown, such as a spinner, is not on the picture.
pictures: setup ## Draw a rehearsal, its dashboard, an incident and its autoscaling
	$(BIN)/python -m rehearsal up staging --screen docs/pictures/rehearsal.svg | cat
	$(BIN)/python -m rehearsal up staging --pictures docs/pictures \
		--set maxReplicas=4 --set 'autoscaling={requestsPerMinute: 20}'

bench: setup .venv-bench/.installed ## Measure, as ratios, beside a bare server, an emulator and checkov
	$(BIN)/python -m benchmarks

.venv-bench/.installed: benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r benchmarks/requirements.txt
	@touch $@

lint: setup ## Check style and types, and the workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/zizmor --offline --quiet .github
	@if command -v go > /dev/null; then go -C .github/actionlint tool actionlint; \
	else echo "workflows are not held to actionlint: that takes Go"; fi

format: setup ## Write the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

model: setup ## Train the example model that staging uploads
	$(BIN)/python -m rehearsal.telemetry build/model/model.joblib

plugin: setup ## Install the official gcp plugin; needs the network
	$$($(BIN)/python -m rehearsal.toolchain | tail -n 1) plugin install resource gcp $$($(BIN)/python -c 'from importlib.metadata import version; print("v" + version("pulumi-gcp"))')

clean: ## Remove what rehearsals and builds left
	rm -rf build
