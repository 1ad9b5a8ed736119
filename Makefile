# The targets are what a person types and what CI runs; there is nothing else.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo gallery test test-all lint docs bench-fit bench-session bench-selection bench-scale \
  bench-deep bench-encode bench-regimes bench-costs peers clean

demo: $(VENV)/.core
	$(BIN)/querist demo

# What every strategy picks, as pages to look at.
gallery: $(VENV)/.core
	$(BIN)/querist gallery --costs benchmarks/results/costs.json

test: $(STAMP)
	$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Once more with the heavy extras beside it, and what needs them. Kernels and strategies are numpy alone, whatever else
# is installed: their tests, most of the suite, are not run twice.
test-all: $(VENV)/.all
	$(BIN)/pyright
	$(BIN)/python -m pytest -n 2 --dist loadfile --ignore=tests/kernels --ignore=tests/strategies

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

docs: $(STAMP)
	$(BIN)/pip install -q -c constraints.txt -e '.[docs]'
	$(BIN)/mkdocs build --strict

bench-fit: $(STAMP)
	$(BIN)/python benchmarks/fit_many.py benchmarks/results/fit_many.json

bench-session: peers
	.venv-peers/bin/python benchmarks/session_rounds.py benchmarks/results/session_rounds.json

bench-selection: peers
	.venv-peers/bin/python benchmarks/selection.py all
	.venv-peers/bin/python benchmarks/selection.py all --threads 2

bench-scale: $(STAMP)
	$(BIN)/python benchmarks/scale.py

# These read the packs in QUERIST_PACKS by the plugin of examples/packs.
bench-deep: $(VENV)/.all
	$(BIN)/python benchmarks/deep_loop.py benchmarks/results/deep_loop.json

bench-encode: $(VENV)/.all
	$(BIN)/python benchmarks/encode.py --json benchmarks/results/encode.json

bench-regimes: $(VENV)/.all
	$(BIN)/pip install -q --no-deps -e examples/packs
	$(BIN)/querist pretrain simclr "sample(cifar10_jpeg, pool=2000, test=1000)" --net small_cnn --epochs 40 \
	  --batch 128 --out querist-regimes
	$(BIN)/python benchmarks/regimes.py querist-regimes

bench-costs: $(STAMP)
	$(BIN)/python benchmarks/costs.py

# Which rows of our catalogue of defects fail in the peers as they are installed; writes docs/errata.md.
errata: peers
	.venv-peers/bin/python errata/run.py --write

# Peers go into an environment of their own and bring no dependencies, so that they replace nothing of ours; what they
# import of the common ground has our versions.
peers: constraints.txt benchmarks/peers.txt
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install -q -c constraints.txt -e . matplotlib torch tqdm
	.venv-peers/bin/pip install -q --no-deps -r benchmarks/peers.txt

$(VENV)/.core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e .
	touch $@

$(STAMP): $(VENV)/.core
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

$(VENV)/.all: $(STAMP)
	$(BIN)/pip install -q -c constraints.txt -e '.[all]'
	touch $@

clean:
	rm -rf $(VENV) querist-demo querist-gallery
