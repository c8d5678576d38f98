#!/bin/sh
set -eu
nvidia-smi -i 0 -mig 1
nvidia-smi mig -i 0 -cgi 3g.40gb,2g.20gb,2g.20gb -C
# qwen3-4b.0
CUDA_VISIBLE_DEVICES=MIG-gpu0-3g.40gb-0 VLLM_ALLOW_RUNTIME_LORA_UPDATING=True VLLM_SERVER_DEV_MODE=1 vllm serve /models/qwen3-4b --served-model-name qwen3-4b.0 --host 127.0.0.1 --port 8500 --kv-cache-memory-bytes 6442450944 --max-num-seqs 32 --max-model-len 8192 --enable-sleep-mode --enable-lora --max-loras 2 --max-lora-rank 16 --max-cpu-loras 4 --lora-modules '{"name": "intent-v1", "path": "/models/adapters/intent-v1", "base_model_name": "qwen3-4b.0"}' '{"name": "sql-v2", "path": "/models/adapters/sql-v2", "base_model_name": "qwen3-4b.0"}' '{"name": "tools-v1", "path": "/models/adapters/tools-v1", "base_model_name": "qwen3-4b.0"}' &
until curl -fsS http://127.0.0.1:8500/health; do kill -0 $!; sleep 1; done
# gemma-1b.0
CUDA_VISIBLE_DEVICES=MIG-gpu0-2g.20gb-0 VLLM_SERVER_DEV_MODE=1 vllm serve /models/gemma-1b --served-model-name gemma-1b.0 --host 127.0.0.1 --port 8501 --kv-cache-memory-bytes 3221225472 --max-num-seqs 16 --max-model-len 4096 --enable-sleep-mode &
until curl -fsS http://127.0.0.1:8501/health; do kill -0 $!; sleep 1; done
# gemma-1b.1
CUDA_VISIBLE_DEVICES=MIG-gpu0-2g.20gb-1 VLLM_SERVER_DEV_MODE=1 vllm serve /models/gemma-1b --served-model-name gemma-1b.1 --host 127.0.0.1 --port 8502 --kv-cache-memory-bytes 3221225472 --max-num-seqs 16 --max-model-len 4096 --enable-sleep-mode &
until curl -fsS http://127.0.0.1:8502/health; do kill -0 $!; sleep 1; done
# llama-70b.0
CUDA_VISIBLE_DEVICES=1,2 VLLM_SERVER_DEV_MODE=1 vllm serve meta-llama/Llama-3.3-70B-Instruct --served-model-name llama-70b.0 --host 127.0.0.1 --port 8503 --kv-cache-memory-bytes 42949672960 --max-num-seqs 8 --max-model-len 32768 --tensor-parallel-size 2 --enable-sleep-mode &
until curl -fsS http://127.0.0.1:8503/health; do kill -0 $!; sleep 1; done
wait
