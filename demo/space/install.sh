#!/bin/sh
# Everything that the Space runs, at the versions that the tests ran with: install.sh cpu|cuda
set -eu
case ${1:-} in
cpu) more="--extra-index-url https://download.pytorch.org/whl/cpu" ;;
cuda) more= ;;
*)
    echo "install.sh cpu|cuda" >&2
    exit 2
    ;;
esac
python -m venv "$HOME/venv"
# shellcheck disable=SC2086 # two words, or none
"$HOME/venv/bin/python" -m pip install --no-cache-dir -c constraints.txt $more ./cspine_zoo-*.whl
"$HOME/venv/bin/python" -m pip check
