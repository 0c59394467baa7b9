#!/usr/bin/env bash
# A cluster on one machine, for several searches and people: clusters/one-machine.sh WORKERS [CPUS-OF-EACH [GPUS-OF-EACH]]
# A head without work and WORKERS worker nodes, each in a process of its own; Ctrl-C ends them all. Prints what to export.
set -euo pipefail

workers=${1:?the number of worker nodes}
cpus=${2:-$((($(nproc) + workers - 1) / workers))}
gpus=${3:-0}
# Not the loopback address: Ray's clients look for the head at the machine's own.
ip=${IP:-$(hostname -I | cut -d ' ' -f 1)}
port=${PORT:-6379}
dashboard=${DASHBOARD_PORT:-8265}
# Whoever knows the token may run code here; other users of the machine do not know it.
RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN:-$(head -c 32 /dev/urandom | base64 | tr -d '+/=')}
export RAY_AUTH_MODE RAY_AUTH_TOKEN

started=()
trap 'trap - EXIT; kill "${started[@]}" 2> /dev/null; wait' EXIT INT TERM

ray start --head --node-ip-address="$ip" --port="$port" --dashboard-host=127.0.0.1 --dashboard-port="$dashboard" \
    --num-cpus=0 --num-gpus=0 --disable-usage-stats --block > /dev/null &
started+=($!)
# Not `ray health-check`: it answers before the head is known as a node, which workers ask for and give up.
for _ in $(seq 60); do
    ray status --address "$ip:$port" 2> /dev/null | grep -q node_ && break
    sleep 1
done
for worker in $(seq "$workers"); do
    # Each its own GPUs: two workers on one would run out of its memory.
    CUDA_VISIBLE_DEVICES=$(seq -s , $(((worker - 1) * gpus)) $((worker * gpus - 1))) \
        ray start --address="$ip:$port" --node-ip-address="$ip" --num-cpus="$cpus" --num-gpus="$gpus" \
            --disable-usage-stats --block > /dev/null &
    started+=($!)
done

echo "export RAY_ADDRESS=$ip:$port RAY_AUTH_MODE=token RAY_AUTH_TOKEN=$RAY_AUTH_TOKEN"
echo "# then: raysearch doctor && raysearch search ...; or ray job submit --address http://127.0.0.1:$dashboard ..."
# Workers may go and be missed; without its head there is no cluster.
wait "${started[0]}"
