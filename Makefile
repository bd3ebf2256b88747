# make demo   train, test and draw a small detector on the embedded data; its row in the leaderboard
# make test   the whole suite: ruff, mypy, pytest
# Both first set up what is missing: a virtual environment with exact versions, in .venv.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
CONFIG = configs/emov2/atss_emov2_fpn_toy.py
WORK = work_dirs/demo

.PHONY: demo test lint install
.DEFAULT_GOAL := demo

install:
	@$(PYTHON) tools/misc/setup_env.py $(VENV)

demo: install
	@bash -c 'set -e; SECONDS=0; \
	$(RUN) tools/dataset_converters/make_toy_data.py --formats coco; \
	$(RUN) tools/train.py $(CONFIG) --work-dir $(WORK) --seed 0; trained=$$SECONDS; \
	$(RUN) tools/test.py $(CONFIG) "$$(cat $(WORK)/last_checkpoint)" --work-dir $(WORK); \
	$(RUN) tools/dataset_converters/make_toy_data.py --root $(WORK)/scenes --formats coco \
	    --num-train 1 --num-val 12 --size 384 --seed 7; \
	$(RUN) tools/infer.py $(CONFIG) "$$(cat $(WORK)/last_checkpoint)" $(WORK)/scenes/coco/val \
	    --out-dir $(WORK)/pictures; \
	$(RUN) -m mmext leaderboard show; \
	$(RUN) -m mmext leaderboard export work_dirs/leaderboard.html; \
	echo "demo: what the test saw is in $(WORK)/report.html"; \
	echo "demo: pictures of detections are in $(WORK)/pictures/vis"; \
	echo "demo: $${SECONDS} s in all, $${trained} s of them to make the data and train"'

lint: install
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy

test: lint
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2
