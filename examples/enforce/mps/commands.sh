# Before the engines start:
mkdir -p /tmp/offramp-mps/gpu0/pipe /tmp/offramp-mps/gpu0/log
CUDA_VISIBLE_DEVICES=0 CUDA_MPS_PIPE_DIRECTORY=/tmp/offramp-mps/gpu0/pipe CUDA_MPS_LOG_DIRECTORY=/tmp/offramp-mps/gpu0/log nvidia-cuda-mps-control -d
# Once they are gone:
# printf %s 'quit
' | CUDA_MPS_PIPE_DIRECTORY=/tmp/offramp-mps/gpu0/pipe CUDA_MPS_LOG_DIRECTORY=/tmp/offramp-mps/gpu0/log nvidia-cuda-mps-control
