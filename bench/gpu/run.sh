#!/bin/sh
# On the CUDA machine: put the pieces of collect.sh together, install from them alone, measure.
#
#   ./run.sh FOLDER_WITH_THE_PIECES [WORK_FOLDER]
set -eu
pieces=$(cd "$1" && pwd)
work=${2:-$(mktemp -d)}
(cd "$pieces" && sha256sum --check --quiet SHA256SUMS)
mkdir -p "$work"
cat "$pieces"/predictor.tar.* | tar xf - -C "$work"
${PYTHON:-python3} -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --no-index --find-links "$work/wheels" \
    sagesched 'onnxruntime-gpu[cuda,cudnn]' onnx tokenizers
nvidia-smi --query-gpu=name,driver_version,utilization.gpu --format=csv,noheader || echo "no nvidia-smi here"
"$work/venv/bin/python" "$work/latency.py" --gpu "$work/fp16" --cpu "$work/int8"
