#!/bin/sh
# Builds the wheel, installs it with its dependencies into a new environment, and runs the command and the unit tests
# there, outside the checkout: what a user of the wheel gets is what was tested.
set -eu
checkout=$(pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
.venv/bin/python -m build --wheel --outdir "$folder/dist" . >/dev/null
python3 -m venv "$folder/venv"
# The environment lives for minutes: what is never imported needs no byte code.
pip="$folder/venv/bin/python -m pip --disable-pip-version-check install --quiet --no-compile --constraint constraints.txt"
$pip torch
$pip "$folder"/dist/footnote-*.whl pytest pytest-timeout pytest-xdist hypothesis reportlab
cp -r tests pyproject.toml "$folder/"
cd "$folder"
FOOTNOTE_HOME="$folder/home" venv/bin/footnote --help
venv/bin/python -m pytest -q -p no:cacheprovider --numprocesses="${TEST_PROCESSES:-2}" tests/unit
cd "$checkout"
