# Every target installs first where needed. PYTHON is the interpreter the environment is made from.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
NAME ?= quickstart-$(shell date +%Y%m%d-%H%M%S)

.PHONY: install search test test-slow test-browser check docs bench gpu results

install: $(INSTALLED)

$(INSTALLED): pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -c constraints.txt torch torchaudio
	$(BIN)/pip install --quiet -c constraints.txt -e '.[synth,docs,dev]'
	# torchaudio's wheel is built for CUDA; beside a CPU torch its libraries do not load, and its Python needs none of them.
	$(BIN)/python -c 'import torch; raise SystemExit(torch.version.cuda is None)' || rm -f .venv/lib/python*/site-packages/torchaudio/lib/*.so
	touch $@

search: install
	$(BIN)/raysearch search search_spaces/quickstart.yaml --name $(NAME)

# One process more than there are cores, at most four: each takes more than a gigabyte of memory. A file stays in one
# process, so that what its tests share is made once; so do some folders, which tests/conftest.py names.
test: install
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-slow: install
	$(BIN)/python -m pytest -q -m slow

test-browser: install
	$(BIN)/python -m pytest -q -m browser

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mypy
	$(BIN)/python -m pytest -q tests/test_imports.py

# The reference of settings and verbs, from the code, and the site of all pages in site/.
docs: install
	$(BIN)/python docs/write_reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# All of benchmarks/, or some: make bench ONLY="slice_speedup inference". Kept in results/bench/ with date and versions.
bench: install
	$(BIN)/python results/bench.py $(ONLY)

# All that runs only on a GPU, checked and timed in under nine minutes; without a GPU in tiny sizes on the CPU. The table
# is printed, and gpu.json holds it too.
gpu: install
	$(BIN)/python benchmarks/gpu.py --out gpu.json

# The tables and pictures of RESULTS.md and docs/results/, from the searches and benchmarks kept in results/; nothing is trained.
results: install
	$(BIN)/python results/write.py
