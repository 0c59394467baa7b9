#!/usr/bin/env bash
# One search as a Slurm job: sbatch clusters/slurm.sh search_spaces/dicehubert-an4.yaml NAME [--set a.b=v ...]
# The first node drives, every node works. Requeued after preemption or a lost node, the job resumes the search by its name.
#SBATCH --job-name=raysearch
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
set -euo pipefail

spec=${1:?a search document}
name=${2:?the name of the search, by which it is resumed}
shift 2
: "${RAYSEARCH_STORAGE:?a folder that all nodes see, or a URI such as s3://}"
# Whoever knows the token may run code on the nodes; other users of the cluster do not know it.
RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN:-$(head -c 32 /dev/urandom | base64 | tr -d '+/=')}
export RAY_AUTH_MODE RAY_AUTH_TOKEN RAYSEARCH_STORAGE

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
port=$((20000 + SLURM_JOB_ID % 20000))
cpus=${SLURM_CPUS_PER_TASK:-1}
gpus=${SLURM_GPUS_ON_NODE:-0}

start() { # NODE then what `ray start` is told; lives as long as the job
    srun --nodes=1 --ntasks=1 --overlap --nodelist="$1" \
        ray start "${@:2}" --num-cpus="$cpus" --num-gpus="$gpus" --disable-usage-stats --block &
}

start "$head" --head --node-ip-address="$head" --port="$port"
for _ in $(seq 60); do
    srun --nodes=1 --ntasks=1 --overlap --nodelist="$head" ray health-check --address "$head:$port" && break
    sleep 2
done
for node in "${nodes[@]:1}"; do
    start "$node" --address="$head:$port"
done

# `resume` fails at once where there is no such search yet, and `search` where there is one.
export RAY_ADDRESS=$head:$port
run() { srun --nodes=1 --ntasks=1 --overlap --nodelist="$head" raysearch "$@"; }
run resume "$name" || run search "$spec" --name "$name" "$@"
