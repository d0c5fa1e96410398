# l3mail: set up, test, check, demo, install. `make` alone prints what there is.
#
# What you may set: PYTHON=python3.12 (which Python), VENV=.venv (where the environment goes),
# PREFIX=~/.local (where `make install` installs), PYTEST_ARGS="-k suppression -x", WORKERS=0
# (tests in one process), QUICK=1 and FIGURES="engine startup" (`make bench`), UPGRADE=1.

PYTHON =
VENV = .venv
PREFIX = $(HOME)/.local
PYTEST_ARGS =
WORKERS = auto
QUICK =
FIGURES =
UPGRADE =

BIN = $(VENV)/bin
PIP = python -m pip --disable-pip-version-check -qq

.DEFAULT_GOAL = help
.PHONY: help setup test check check-lint check-format check-types check-imports \
	demo bench install lock clean

help: ## print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' Makefile | while read -r name text; do \
		printf '  make %-9s %s\n' "$$name" "$$text"; done

test: setup ## set up what is missing, run all tests (PYTEST_ARGS="-x")
	@"$(BIN)/python" -m pytest -n $(WORKERS) $(PYTEST_ARGS)

check: check-lint check-format check-types check-imports ## lint, format, types, import contract

check-lint: setup
	@"$(BIN)/ruff" check .

check-format: setup
	@"$(BIN)/ruff" format --check .

check-types: setup
	@"$(BIN)/mypy"

check-imports: setup
	@"$(BIN)/lint-imports"

demo: setup ## ten weeks in time-lapse; what it leaves is in state/demo
	@"$(BIN)/l3mail" demo

bench: setup ## measure, in ratios of one run (QUICK=1, FIGURES="idle")
	@"$(BIN)/python" -m bench $(if $(QUICK),--quick) $(FIGURES)

# Leaves the Python to use in $$python: PYTHON if given, else the first of these names that is new
# enough. Making environments needs ensurepip, which Debian keeps in a package of its own.
define find_python
	for python in $(if $(PYTHON),"$(PYTHON)",python3 python3.14 python3.13 python3.12 python3.11); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
		python=; \
	done; \
	if [ -z "$$python" ]; then \
		echo "l3mail needs Python 3.11 or newer, and $(or $(PYTHON),python3) is not."; \
		echo "Debian 12 and Ubuntu 24.04 have it: apt install python3 python3-venv"; \
		echo "Or say which: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; \
		exit 1; \
	fi >&2; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$python cannot make environments: its venv module is missing."; \
		echo "On Debian and Ubuntu: apt install python3-venv"; \
		exit 1; \
	fi >&2
endef

# Installs a lock ($1) into the environment $$venv: exactly its files, whose hashes must match.
define install_lock
	if ! "$$venv/bin/"$(PIP) install --require-hashes --no-deps -r $1; then \
		echo "Could not install what $1 lists: the first time needs a package index." >&2; \
		exit 1; \
	fi
endef

# The environment is finished when its stamp is there, named by the lock and the project file; with
# an older stamp it is brought up to date. Without any it is half-made, and in another place than
# it was made for (.place) its scripts are broken: then it is made anew.
setup:
	@set -eu; venv="$(VENV)"; \
	key=$$(cat requirements-dev.txt pyproject.toml | { sha256sum 2>/dev/null || \
		shasum -a 256 2>/dev/null || cksum; } | cut -c1-12 | tr ' ' -); \
	stamp="$$venv/.stamp-$$key"; \
	which='import sys; print(sys.version, sys.base_prefix)'; \
	works() { [ "$$(cat "$$venv/.place" 2>/dev/null)" = "$$(pwd)" ] && \
		"$$venv/bin/python" -c 'import pip' 2>/dev/null && { [ -z "$(PYTHON)" ] || \
		[ "$$("$(PYTHON)" -c "$$which")" = "$$("$$venv/bin/python" -c "$$which")" ]; }; }; \
	if [ -f "$$stamp" ] && works; then exit 0; fi; \
	if ls "$$venv"/.stamp-* >/dev/null 2>&1 && works; then \
		echo "Updating $$venv ..."; \
	else \
		$(find_python); \
		if [ -d "$$venv" ] && [ "$$venv" != .venv ] && [ ! -f "$$venv/pyvenv.cfg" ]; then \
			if [ -n "$$(ls -A "$$venv")" ]; then \
				echo "VENV=$$venv is a folder with something else in it; name another." >&2; exit 1; \
			fi; \
		fi; \
		echo "Making $$venv with $$("$$python" --version); the first time takes a minute ..."; \
		rm -rf "$$venv"; "$$python" -m venv "$$venv"; pwd >"$$venv/.place"; \
	fi; \
	rm -f "$$venv"/.stamp-*; \
	$(call install_lock,requirements-dev.txt); \
	"$$venv/bin/"$(PIP) install --no-index --no-build-isolation --no-deps -e .; \
	"$$venv/bin/"$(PIP) check || { \
		echo "The locks do not match pyproject.toml: run make lock." >&2; exit 1; }; \
	touch "$$stamp"

# Each installation gets a folder of its own; the link moves when it is complete, so a broken
# download leaves the old one at work.
install: ## put l3mail on the PATH, in its own environment (PREFIX=)
	@set -eu; $(find_python); \
	prefix=$$(echo "$(PREFIX)" | sed -e "s|^~|$$HOME|" -e "s|^[^/]|$$(pwd)/&|"); \
	home="$$prefix/share/l3mail"; venv="$$home/venv-$$(date +%Y%m%d-%H%M%S)"; \
	echo "Installing into $$venv ..."; \
	mkdir -p "$$home" "$$prefix/bin"; \
	link="$$prefix/bin/l3mail"; \
	if [ -e "$$link" ] && [ ! -L "$$link" ]; then \
		echo "$$link is there already and was not made by this: move it away first." >&2; exit 1; \
	fi; \
	trap 'rm -rf "$$venv"' EXIT; trap 'exit 1' INT TERM; \
	"$$python" -m venv "$$venv"; \
	$(call install_lock,requirements.txt); \
	"$$venv/bin/"$(PIP) install --no-index --no-build-isolation --no-deps .; \
	ln -sf "$$venv/bin/l3mail" "$$link.new"; mv -f "$$link.new" "$$link"; trap - EXIT; \
	for old in "$$home"/venv-*; do [ "$$old" = "$$venv" ] || rm -rf "$$old"; done; \
	echo "Installed $$link"; \
	case ":$$PATH:" in \
	*":$$prefix/bin:"*) ;; \
	*) echo "$$prefix/bin is not on your PATH yet. This puts it there for new terminals:"; \
		echo "  echo 'export PATH=\"$$prefix/bin:\$$PATH\"' >> ~/.profile" ;; \
	esac

# uv knows how to lock for every platform at once. It comes into an environment that is thrown
# away, and uses the index it is configured for; nothing of that gets into the files. The second
# lock starts from the first, so both name the same versions.
lock: ## lock anew what pyproject.toml names (UPGRADE=1: newest)
	@set -eu; $(find_python); \
	venv=$$(mktemp -d); trap 'rm -rf "$$venv"' EXIT; trap 'exit 1' INT TERM; \
	"$$python" -m venv "$$venv"; "$$venv/bin/"$(PIP) install uv; \
	build=$$("$$python" -c 'import tomllib; \
		project = tomllib.load(open("pyproject.toml", "rb")); \
		print(*project["build-system"]["requires"], "editables>=0.5", sep="\n")'); \
	compile() { echo "$$build" | "$$venv/bin/uv" pip compile --quiet --universal \
		--python-version 3.11 --no-python-downloads --generate-hashes --no-emit-index-url \
		--no-emit-find-links --annotation-style=line --custom-compile-command "make lock" \
		pyproject.toml - "$$@"; }; \
	compile --all-extras $(if $(UPGRADE),--upgrade) --output-file requirements-dev.txt; \
	cp requirements-dev.txt requirements.txt; \
	compile --extra postgres --output-file requirements.txt; \
	if grep -nE '://|--(extra-)?index|--find-links|^-e|file:' requirements*.txt; then \
		echo "A lock names a place; it must name only versions and hashes." >&2; exit 1; \
	fi; \
	grep -c '^[a-z]' requirements.txt requirements-dev.txt

clean: ## remove environments, caches and builds (never state/)
	@rm -rf .venv .ci-venv build dist .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache .hypothesis
	@find src tests $(wildcard bench) -name __pycache__ -type d -prune -exec rm -rf {} +
