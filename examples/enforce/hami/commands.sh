# Before the engines start:
mkdir -p /tmp/vgpulock
# Once they are gone:
# rm -f /tmp/vgpulock/qwen3-4b.0.cache
# rm -f /tmp/vgpulock/gemma-1b.0.cache
# rm -f /tmp/vgpulock/llama-70b.0.cache
