# The verbs of this project. Everything runs in .venv, which the first of them makes.
PY ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python

.PHONY: demo test bench check install clean

install: $(VENV)/.stamp

$(VENV)/.stamp: pyproject.toml constraints.txt
	$(PY) -m venv $(VENV)
	$(RUN) -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev,hf,data,provenance]'
	touch $@

# make demo FOOTAGE=folder tunes on your own footage
demo: $(VENV)/.stamp
	$(RUN) -m manzar demo --out demo $(if $(FOOTAGE),--footage '$(FOOTAGE)')

test: $(VENV)/.stamp
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(RUN) -m pytest -n 2

bench: $(VENV)/.stamp
	$(RUN) benchmarks/dit.py
	$(RUN) benchmarks/vae.py
	$(RUN) benchmarks/generate.py
	$(RUN) benchmarks/boxes.py

check: $(VENV)/.stamp
	$(RUN) -m ruff check manzar tests benchmarks scripts
	$(RUN) -m mypy

clean:
	rm -rf $(VENV) demo
