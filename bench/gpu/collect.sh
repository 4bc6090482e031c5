#!/bin/sh
# Everything that a CUDA machine without a package index needs, in one folder, in pieces that any way of
# copying can carry. Run it here, copy the folder there, run `run.sh FOLDER` there.
#
#   bench/gpu/collect.sh build/gpu [PIECE_MB [PYTHON_VERSION]]
#
# CUDA's own libraries are most of it, 2 GB. Where the other machine's Python brings NVIDIA's packages for CUDA 13,
# as one with torch does, leave them out: `CUDA=there bench/gpu/collect.sh …`. `PRECISIONS=fp16` leaves out the
# artifact for the CPU, to which the GPU's is compared.
set -eu
out=$1
piece_mb=${2:-40}
version=${3:-3.12}
here=$(cd "$(dirname "$0")/../.." && pwd)
bin=${BIN:-$here/.venv/bin}
case ${CUDA:-packages} in
there) runtime=onnxruntime-gpu ;;
*) runtime='onnxruntime-gpu[cuda,cudnn]' ;;
esac
# Pieces of an earlier run may be more than those of this one.
rm -f "${out:?}"/predictor.tar.*
mkdir -p "$out/wheels"
"$bin/python" -m pip wheel --quiet --no-deps --wheel-dir "$out/wheels" "$here"
"$bin/python" -m pip download --quiet --only-binary :all: --python-version "$version" --dest "$out/wheels" \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64 \
    -c "$here/constraints.txt" "$runtime" onnx tokenizers numpy
precisions=${PRECISIONS:-fp16 int8}
for precision in $precisions; do
    rm -rf "${out:?}/$precision"
    cp -r "$("$bin/sagesched-predictor" export --precision "$precision")" "$out/$precision"
done
for script in latency.py engine.py run.sh; do cp "$here/bench/gpu/$script" "$out/"; done
(
    cd "$out"
    # shellcheck disable=SC2086  # one word each
    tar cf - wheels $precisions latency.py engine.py | split -b "${piece_mb}m" - predictor.tar.
    sha256sum predictor.tar.* > SHA256SUMS
)
rm -rf "$out/wheels" "$out/fp16" "$out/int8" "$out/latency.py" "$out/engine.py"
du -sh "$out"
