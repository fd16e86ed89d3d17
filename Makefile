# Two commands: `make reproduce` runs the paper on the built-in clips, `make test` checks everything that is quick.
# Each sets up .venv by itself, at the versions in constraints.txt; a stamp remembers that it is done.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
# the stamp's name carries a hash of what it depends on, so a checkout that changes nothing installs nothing
STAMP := $(VENV)/.ready-$(shell cat settings.ini constraints.txt pyproject.toml setup.py | cksum | cut -d' ' -f1)
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONDONTWRITEBYTECODE := 1
# tests: one process a core, one thread each
WORKERS := $(shell nproc 2>/dev/null || echo 2)
# those write into results/, so they go one after the other
AT_RESULTS := tests/test_learned.py tests/test_paper.py
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -q -n $(WORKERS) --dist loadfile --ignore tests/test_sync.py

.PHONY: help setup reproduce paper test test-all check notebook readme docs lab bench bench-gpu filmed clean
help: ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP) ## make .venv with the exact versions last tested
$(STAMP): 
	@$(PYTHON) -c 'import sys; v=sys.version_info; sys.exit(None if v>=(3,11) else f"interpvid needs Python 3.11 or newer; {sys.executable} is {v.major}.{v.minor}. Try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@echo "setting up $(VENV) (once; two to four minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@rm -f $(VENV)/.ready-* && touch $@

reproduce: $(STAMP) ## the main job: train, explain, the paper's tables and figures, results/index.html
	@$(BIN)/interpvid reproduce $(ARGS)

# a process for each: in one process the OpenMP threads of notebooks that are done take the processor from those that follow
paper: $(STAMP) ## the paper's notebooks, one after the other; what `make reproduce` has made they take
	@for n in nbs/paper/*.ipynb; do $(BIN)/nbdev-test $$n --n-workers 0 --timing || exit 1; done

test: $(STAMP) check ## all that is quick: notebooks in step and clean, all but the paper's (which train), pytest
	OMP_NUM_THREADS=1 $(BIN)/nbdev-test --n-workers $(WORKERS) --skip-folder-re '^([_.]|paper$$)'
	$(PYTEST) -m "not slow"

test-all: $(STAMP) check ## `make test` with the slow cells and tests, after the main job that they look at
	@$(BIN)/interpvid reproduce
	@$(MAKE) paper
	OMP_NUM_THREADS=1 $(BIN)/nbdev-test --n-workers $(WORKERS) --flags slow --skip-folder-re '^([_.]|paper$$)'
	$(PYTEST) $(addprefix --ignore ,$(AT_RESULTS))
	$(BIN)/pytest -q $(AT_RESULTS)

check: $(STAMP) ## ruff; modules equal notebooks, notebooks are clean, README equals index
	@$(BIN)/ruff check --quiet
	@$(BIN)/pytest -q tests/test_sync.py

notebook: $(STAMP) ## export, run one notebook and store what it shows: make notebook NB=nbs/40_cam.ipynb
	@test -f "$(NB)" || { echo 'which notebook? make notebook NB=nbs/40_cam.ipynb'; exit 1; }
	@$(BIN)/nbdev-export
	OMP_NUM_THREADS=1 $(BIN)/nbdev-test $(NB) --save --n-workers 0
	@$(BIN)/nbdev-clean
	@$(BIN)/python tools/smaller.py $(NB)

readme: $(STAMP) ## README.md from nbs/index.ipynb
	@$(BIN)/python tools/readme.py $(ARGS)

docs: $(STAMP) ## the docs site from the notebooks, _docs/index.html: by Quarto where it is installed, else by Sphinx
	@$(BIN)/python tools/docs.py

lab: $(STAMP) ## JupyterLab on the notebooks
	$(BIN)/jupyter lab nbs

bench: $(STAMP) ## measure, as ratios against named baselines, into benchmarks/latest.json
	@$(BIN)/python benchmarks/run.py $(ARGS)

bench-gpu: $(STAMP) ## both networks at the paper's sizes on a CUDA GPU, into benchmarks/gpu.json
	@$(BIN)/python benchmarks/gpu.py $(ARGS)

filmed: $(STAMP) ## filmed clips in folds (INTERPVID_REFERENCE holds weizmann and ut_interaction): hours, into benchmarks/filmed.json
	@$(BIN)/python benchmarks/filmed.py $(ARGS)

clean: ## remove what was made (results/, _docs/, .venv/)
	rm -rf results _docs _proc $(VENV)
