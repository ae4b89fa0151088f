# make run    from a fresh machine to figures: environment, flow, summary
# make check  linters, type check, unit tests: a minute and a half
# make test   these, and all else that a change can break: a quarter of an hour
# make plan   what a run would do: jobs, hours, bytes           CONFIG=... names another study, for run and plan
# make verify the tests that take long or need a service: Slurm, an object store, full disks, kills, whole studies
# make bench  speed against other libraries and against the floor
# make report the figures and tables as one page
# make push   send the artifacts to DVC's remote, once they are vouched for and whole
# make clean  list the artifacts of earlier settings; CLEAN=yes removes them
# make restore  a clone's artifacts from DVC's remote, so that there is nothing left to run
# make faults  kill, stop and hinder a small flow in every way that a machine knows; every artifact has to come out the same
# make fuzz   a thousand damaged files for each reader: it reads or refuses, and runs nothing; a new sequence of steps
# make lock   resolve the dependencies anew (needs uv)
# make schema write schemas/config.schema.json and docs/tables.md from the declarations of settings and of columns

PYTHON ?= python3
CONFIG ?= config.yaml
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# The library beside this file, whatever is installed elsewhere.
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))
# Passive waiting and memory that is kept: as, and why, in rules/common.smk.
export OMP_WAIT_POLICY := PASSIVE
export MALLOC_MMAP_THRESHOLD_ := 1073741824
export MALLOC_TRIM_THRESHOLD_ := 1073741824
# Of a notebook, whose package the environment may not have.
export MPLBACKEND := agg
# Snakemake and Matplotlib keep caches in the home folder, where that can be written.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)
ifneq ($(shell mkdir -p "$(CACHE)" 2>/dev/null && test -w "$(CACHE)" && echo yes),yes)
export XDG_CACHE_HOME := $(CURDIR)/.snakemake/cache
export MPLCONFIGDIR := $(CURDIR)/.snakemake/cache/matplotlib
endif
# The command `unitscope`, also where the environment is another clone's and has none.
UNITSCOPE := python -m unitscope

.PHONY: run lint check test verify plan bench report push restore clean faults fuzz lock schema
run: $(VENV)/run.installed
	@$(UNITSCOPE) run --cores 8 $(CONFIG)

# Each worker takes the next test that is left; those that share what is costly to prepare stay on one (tests/conftest.py).
PYTEST := pytest --numprocesses auto

lint: $(VENV)/test.installed
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile rules
	lint-imports --no-cache
	mypy

check: lint
	$(PYTEST) -m "not slow and not verify and not fuzz" tests/unit

test: lint
	snakemake --lint
	# Where so many tests fail, the others would say the same.
	$(PYTEST) --maxfail 20 --durations 20 --cov --cov-report= -m "not verify and not fuzz"

verify: $(VENV)/verify.installed
	$(PYTEST) --maxfail 20 --durations 20 -m verify

plan: $(VENV)/run.installed
	@$(UNITSCOPE) plan $(CONFIG)

faults: $(VENV)/test.installed
	@python tests/faults/faults.py

fuzz: $(VENV)/test.installed
	pytest --numprocesses auto --hypothesis-profile fuzz tests/fuzz/test_fuzz.py
	pytest -m fuzz tests/fuzz/test_sequences.py

push: $(VENV)/run.installed
	@$(UNITSCOPE) push

restore: $(VENV)/run.installed
	@$(UNITSCOPE) restore

clean: $(VENV)/run.installed
	@$(UNITSCOPE) clean $(CONFIG) $(if $(filter yes,$(CLEAN)),--yes)

report: $(VENV)/run.installed
	@$(UNITSCOPE) report $(CONFIG)

bench: $(VENV)/bench.installed
	env -u OMP_WAIT_POLICY -u MALLOC_MMAP_THRESHOLD_ -u MALLOC_TRIM_THRESHOLD_ python benchmarks/bench.py

schema: $(VENV)/run.installed
	python -m unitscope.config.models > schemas/config.schema.json
	python -m unitscope.workflow.table_reference > docs/tables.md

lock:
	# S3's client holds some packages back, so the most extras decide first.
	uv pip compile --universal --python-version 3.11 --quiet --extra test --extra services pyproject.toml \
		--output-file requirements-verify.lock
	uv pip compile --universal --python-version 3.11 --quiet --extra test --constraints requirements-verify.lock \
		pyproject.toml --output-file requirements-test.lock
	uv pip compile --universal --python-version 3.11 --quiet --constraints requirements-test.lock \
		pyproject.toml --output-file requirements.lock
	uv pip compile --universal --python-version 3.11 --quiet --extra bench --constraints requirements.lock \
		pyproject.toml --output-file requirements-bench.lock

# Installs packages, unless the environment belongs to another clone, whose library it would lose.
INSTALL = @python=$$(cd "$(VENV)/bin" && pwd)/python; other=$$(cd / && env -u PYTHONPATH "$$python" -c 'import importlib.util, pathlib; \
	found = importlib.util.find_spec("unitscope"); print(pathlib.Path(found.origin).resolve().parents[1] if found else "")'); \
	if test -n "$$other" && test "$$other" != "$$(pwd -P)"; then \
		echo "The environment $(VENV) belongs to $$other: nothing is installed into it, and make uses the library of $(CURDIR)."; \
		echo "For an environment of its own, remove the link $(VENV), or call make VENV=FOLDER."; \
	else \
		set -e; for packages in $(1); do "$$python" -m pip install --quiet $$packages; done; touch "$@"; \
	fi

$(VENV)/run.installed: requirements.lock pyproject.toml
	test -d "$(VENV)" || $(PYTHON) -m venv "$(VENV)"
	$(call INSTALL,"--requirement requirements.lock" "--no-deps --no-build-isolation --editable .")

$(VENV)/test.installed: requirements-test.lock $(VENV)/run.installed
	$(call INSTALL,"--requirement requirements-test.lock")

$(VENV)/verify.installed: requirements-verify.lock $(VENV)/test.installed
	$(call INSTALL,"--requirement requirements-verify.lock")

$(VENV)/bench.installed: requirements-bench.lock $(VENV)/run.installed
	$(call INSTALL,"--requirement requirements-bench.lock")
