# Before the engines start:
nvidia-smi -i 0 -mig 1
nvidia-smi mig -i 0 -cgi 3g.40gb,2g.20gb,2g.20gb -C
# Once they are gone:
# nvidia-smi mig -i 0 -dci
# nvidia-smi mig -i 0 -dgi
# nvidia-smi -i 0 -mig 0
