# make demo   an agent scales a real web app on this machine: real Terraform, processes, Prometheus
# make test   the offline test suite
# make lint   style, types, import contracts, Terraform's format
# make full   the tests that take long
# make cluster  the tests on the cluster that INFRA_GYM_TEST_KUBECONFIG names
# make digitalocean  the tests of DigitalOcean's layers, on a fake account
# make reproduce  trains, tunes and benchmarks agents in the simulator; the results are in reproduced/
# make wheel  builds the wheel and tests it from outside the checkout
# make docs   the site of docs/ in build/site, every warning an error
# make kind   a Kubernetes cluster on this machine, where there are Docker and kind
# make clean  removes what these made
#
# PYTHON=python3.12 chooses another Python, INFRA_GYM_BINARY=tofu another Terraform.

VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

# Hundreds of processes are started: each would compile all sources anew, a third of its start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint full cluster digitalocean docs reproduce wheel clean terraform prometheus

demo: $(VENV)/installed terraform prometheus
	$(BIN)/infra-gym run SimpleK8sWebApp-v0 --agent hpa --steps 20

# Where tests share something dear (a compiled simulator, a stack), they are a group, which one worker
# runs. Real processes mostly wait, so three tests of them run at a time, after what needs none.
test: $(VENV)/installed-dev terraform prometheus
	scripts/second-look.sh $(PYTEST) -m "not slow" --numprocesses=2 --dist=loadgroup \
		tests/unit tests/contract
	scripts/second-look.sh $(PYTEST) -m "not slow" --numprocesses=3 --dist=loadgroup \
		tests/local tests/examples

full: $(VENV)/installed-dev terraform prometheus
	scripts/second-look.sh $(PYTEST) -m slow --numprocesses=3 --dist=loadgroup \
		tests/unit tests/contract tests/local tests/examples

cluster: $(VENV)/installed-dev terraform
	scripts/second-look.sh $(PYTEST) --numprocesses=2 --dist=loadfile tests/cluster

digitalocean: $(VENV)/installed-dev terraform
	scripts/second-look.sh $(PYTEST) --numprocesses=2 --dist=loadgroup tests/digitalocean

lint: $(VENV)/installed-dev terraform
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$${INFRA_GYM_BINARY:-$$(command -v terraform || command -v tofu)} fmt -check -recursive layers
	@if command -v actionlint >/dev/null; then actionlint; else echo "actionlint is not installed: skipped"; fi

reproduce: $(VENV)/installed-train
	$(BIN)/python benchmarks/reproduce.py --folder reproduced

wheel: $(VENV)/installed-dev terraform prometheus
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist
	$(BIN)/python tests/wheel/check.py dist/*.whl

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --site-dir build/site

kind:
	@scripts/kind.sh .kind

clean:
	rm -rf $(VENV) dist build reproduced .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

terraform prometheus:
	@scripts/need.sh $@

$(BIN)/python:
	@python=$$(PYTHON="$(PYTHON)" scripts/need.sh python) && "$$python" -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-train: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[train,predict]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/installed
