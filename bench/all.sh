#!/usr/bin/env bash
# Every published figure, one script after the other. Needs the data pack (SAGESCHED_DATA) and some hours.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
out=build/bench
mkdir -p "$out"
run() { echo; echo "== $*"; "$python" "$@"; }

run bench/step_time_fit.py
run bench/workload_fit.py
run bench/core_speed.py
run bench/predictor_quality.py
run bench/predictor_elsewhere.py
run bench/predictor_latency.py
run bench/predictor_beside_stream.py
run bench/drift.py
run bench/predictor_replay.py --jobs 2 --told
run bench/predictor_replay.py --jobs 2 --frozen --told --models meta-llama--Llama-3.1-8B-Instruct \
    google--gemma-3-4b-it Qwen--Qwen2.5-7B-Instruct-1M mistralai--Ministral-8B-Instruct-2410
run bench/repeated_prompts.py
run bench/sketch_search.py
run bench/where_the_cost_is.py
run bench/where_the_cost_is.py --strange
run bench/unfamiliar_prompts.py
run bench/predictor_precision.py
run bench/encoder_choice.py
run bench/castillo.py --model meta-llama--Llama-3.1-8B-Instruct --seed 0 --out "$out/castillo.jsonl"
run bench/replay_frontier.py --data "$out/castillo.jsonl" --rho 1.05 --requests 3000 --seeds 0-9 --policy direct \
    --policy fcfs --policy ssjf --policy sagesched --policy gittins-boost
run bench/replay_frontier.py --data "$out/castillo.jsonl" --rho 1.05 --requests 3000 --seeds 0-9 --kv-headroom 16
run bench/gateway_overhead.py
run bench/connection_age.py
run bench/perf_analyzer.py
run bench/engine_queue.py
run bench/capacity.py --data "$out/castillo.jsonl" --rho 1.3
run bench/capacity.py --live --data "$out/castillo.jsonl" --requests 250
run bench/replay_speed.py
run bench/live_vs_virtual.py
run bench/live_vs_virtual.py --profile kv-ahead
run bench/live_castillo.py --seeds 0 1 2
run bench/reload_under_load.py
run bench/per_message.py
run bench/amin_amax.py
run bench/amin_amax.py --live --requests 300 --rho 1.3
run bench/isolation.py --load 0.6
run bench/isolation.py --load 0.8
run bench/isolation.py --live --policy gittins-boost --load 0.6 --requests 450
run bench/tenants_cost.py
run bench/deadlines.py
run bench/deadlines.py --unseen --seeds 1 --policy gittins-boost --rho 1.3
run bench/burst.py
run bench/two_workers.py --requests 1000 --seeds 0-4
run bench/storm.py
run bench/operator_scale.py
run bench/paper_frontier.py
run bench/paper_inside.py
run bench/paper_bounds.py
run bench/paper_sagesched.py
run bench/paper_ssjf.py
run bench/paper_overhead.py
run bench/paper_replicas.py
