#!/bin/sh
# On the CUDA machine: put the pieces of collect.sh together, install from them alone, measure.
#
#   ./run.sh FOLDER_WITH_THE_PIECES [WORK_FOLDER]
#
# PYTHON names the machine's Python, python3 when left out. If it has torch, predictions are also measured
# beside an engine (engine.py), and CUDA's libraries are its own where the pieces bring none.
set -eu
pieces=$(cd "$1" && pwd)
work=${2:-$(mktemp -d)}
python=${PYTHON:-python3}
(cd "$pieces" && sha256sum --check --quiet SHA256SUMS)
mkdir -p "$work"
cat "$pieces"/predictor.tar.* | tar xf - -C "$work"
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --no-index --find-links "$work/wheels" \
    sagesched onnxruntime-gpu onnx tokenizers
if ls "$work"/wheels/nvidia_* > /dev/null 2>&1; then
    "$work/venv/bin/python" -m pip install --quiet --no-index --find-links "$work/wheels" 'onnxruntime-gpu[cuda,cudnn]'
else
    # ONNX Runtime looks for them beside itself.
    packages() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
    ln -s "$(packages "$python")/nvidia" "$(packages "$work/venv/bin/python")/nvidia"
fi
engine=
cpu=
if [ -d "$work/int8" ]; then cpu="--cpu $work/int8"; fi
if "$python" -c 'import torch' 2> /dev/null; then engine="--engine-python $python"; fi
nvidia-smi --query-gpu=name,driver_version,utilization.gpu --format=csv,noheader || echo "no nvidia-smi here"
# Each is one option and its value, or nothing.
# shellcheck disable=SC2086
"$work/venv/bin/python" "$work/latency.py" --gpu "$work/fp16" $cpu $engine
