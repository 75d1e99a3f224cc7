# Every target makes the virtual environment it needs. PYTHON is the interpreter to make it with, 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SPEC = pyproject.toml constraints.txt

.PHONY: help run report claims standing card site figures test test-slow lowest lint bench bench-keep bench-guard track census attack clean

help: ## these lines
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: $(VENV)/run ## install sfnbench and run the main job: three optimizers on real handwritten digits
	$(BIN)/sfnbench run digits

report: $(VENV)/test ## redraw a sample report and figures of the docs, from the suites toy, digits, spin_glass and damping
	$(BIN)/sfnbench run toy
	$(BIN)/sfnbench run digits
	$(BIN)/sfnbench run spin_glass --profile quick
	$(BIN)/sfnbench report runs/toy runs/digits runs/spin_glass -o docs/report.html --figures docs
	rm -f docs/*_*.png docs/*.pdf
	$(BIN)/sfnbench run damping
	$(BIN)/sfnbench report runs/damping -o build/damping.html --figures build/damping
	cp build/damping/damping_scalar_chain_escape_against_scale.svg docs
	! command -v chromium > /dev/null || chromium --headless --no-sandbox --hide-scrollbars --virtual-time-budget=20000 \
		--window-size=1200,1500 --screenshot=docs/report.png file://$(CURDIR)/docs/report.html

card: $(VENV)/test ## an optimizer's card, of saddle-free Newton in a Krylov subspace (minutes)
	$(BIN)/sfnbench card krylov_sfn --out docs/card.html --format github > docs/card.tables
	printf '# A card: saddle-free Newton in a Krylov subspace\n\nMade by `make card`. `sfnbench card METHOD` writes such a page of any method, as HTML or PDF, with\nits figures. 8 seeds; medians with 95 %% intervals.\n\n' \
		| cat - docs/card.tables > docs/card.md
	rm docs/card.html docs/card.tables

TALK = gaussian_field critical_points_mnist critical_points_cifar10 mlp_mnist autoencoder rnn
figures: $(VENV)/test ## the talk's figures in docs/talk, from the runs of `make claims`
	$(BIN)/sfnbench report $(addprefix runs/claims/,$(TALK)) -o build/talk.html --figures build/talk
	cp $(patsubst docs/%,build/%,$(wildcard docs/talk/*.svg)) docs/talk

site: $(VENV)/test ## the documentation as a website, in site/; needs no network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

claims: $(VENV)/run ## docs/claims.md: run what the talk's claims rest on, and write whether they hold (an hour on 2 cores; called again, it goes on)
	$(BIN)/python benchmarks/claims

standing: $(VENV)/test ## the archive that `--with standing` reads, docs/standing.md and its figure (under 3 hours, less where few methods changed; called again, it goes on)
	$(BIN)/python benchmarks/standing.py

test: $(VENV)/test ## install what the tests need and pass them (minutes)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not slow" -n auto --dist loadfile

test-slow: $(VENV)/test ## the tests that take long, as every night: MNIST in full
	$(BIN)/python -m pytest -q -m slow -n 2 --dist loadfile --timeout=3600

# a user's own files in plugins/, which git does not know, are not read
OURS = $(wildcard $(shell git ls-files 'plugins/*.py'))
THEIRS = $(addprefix --extend-exclude=,$(shell git ls-files -o 'plugins/*.py'))

LOWEST = $(VENV)-lowest

lowest: ## smoke and some tests with the lowest version of each range but torch's, in a fresh environment (minutes)
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python benchmarks/lowest.py --without torch > $(LOWEST)/lowest.txt
	grep '^torch==' constraints.txt >> $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c $(LOWEST)/lowest.txt \
		-e . pytest pytest-timeout hypothesis
	$(LOWEST)/bin/sfnbench run smoke --fresh --out $(LOWEST)/smoke
	$(LOWEST)/bin/python -m pytest -q -W default::DeprecationWarning -m "not slow" -k "not stock" tests/suite tests/members/test_registry.py tests/results/test_store.py

lint: $(VENV)/dev ## style and types
	$(BIN)/ruff check $(THEIRS) .
	$(BIN)/ruff format --check $(THEIRS) .
	$(BIN)/mypy sfnbench $(OURS)

bench: $(VENV)/bench ## what is fast stays fast: timings side by side, with the peers
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/performance.py --page docs/performance.md
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/growth.py --page docs/growth.md
	$(BIN)/python -m pytest -q -s benchmarks --benchmark-disable-gc --timeout=3600

KERNELS = $(BIN)/python -m pytest -q benchmarks/test_kernels.py --benchmark-disable-gc --benchmark-warmup=on \
	--benchmark-min-rounds=30 --benchmark-columns=min,median,iqr,rounds --benchmark-sort=name

bench-keep: $(VENV)/bench ## remember how long each kernel takes here and now
	$(KERNELS) --benchmark-autosave

bench-guard: $(VENV)/bench ## fail where a kernel takes a quarter longer than when last remembered
	$(KERNELS) --benchmark-compare --benchmark-compare-fail=min:25%

track: $(VENV)/run ## is the last commit slower or dearer than the one before? Rounds in turn, a control beside each
	$(BIN)/python benchmarks/commits.py HEAD~1 HEAD

attack: $(VENV)/run ## kill a running suite at 100 random moments: nothing finished is lost, no number changes (20 to 60 minutes; called again, it goes on)
	$(BIN)/python benchmarks/attack.py $(if $(N),--kills $(N),--folder build/attack)

census: $(VENV)/run ## floors, circles, widths and names of the package; REV=HEAD~9 for a commit
	$(BIN)/python benchmarks/census.py $(if $(REV),--rev $(REV))

clean: ## forget the virtual environment
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run: $(SPEC) | $(BIN)/python
	$(INSTALL) -e .
	@touch $@

$(VENV)/test: $(SPEC) | $(BIN)/python
	$(INSTALL) -e '.[test]'
	@touch $@ $(VENV)/run

$(VENV)/dev: $(SPEC) | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	@touch $@ $(VENV)/run $(VENV)/test

$(VENV)/bench: $(SPEC) | $(BIN)/python
	$(INSTALL) -e '.[dev,peers]'
	@touch $@ $(VENV)/run $(VENV)/test $(VENV)/dev
