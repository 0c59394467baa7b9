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
said=$(mktemp)
trap 'kill "${started[@]}" 2> /dev/null; wait; rm "$said"' EXIT
trap exit INT TERM

# Starts a node and waits until the head knows it. Ray gives it half a minute, on a busy machine not always enough.
start() {
    local name=$1 try
    for try in 1 2 3; do
        : > "$said"
        ray start --node-ip-address="$ip" --disable-usage-stats --block "${@:2}" >> "$said" &
        started+=($!)
        while kill -0 $! 2> /dev/null; do
            ! grep -q 'Ray runtime started' "$said" || return 0
            sleep 0.2
        done
        echo "$name did not start (try $try of 3)" >&2
    done
    exit 1
}

start "the head" --head --port="$port" --dashboard-host=127.0.0.1 --dashboard-port="$dashboard" --num-cpus=0 --num-gpus=0
head=$!
for worker in $(seq "$workers"); do
    # One after the other, and each its own GPUs: two workers on one would run out of its memory.
    CUDA_VISIBLE_DEVICES=$(seq -s , $(((worker - 1) * gpus)) $((worker * gpus - 1))) \
        start "worker $worker" --address="$ip:$port" --num-cpus="$cpus" --num-gpus="$gpus"
done

echo "export RAY_ADDRESS=$ip:$port RAY_AUTH_MODE=token RAY_AUTH_TOKEN=$RAY_AUTH_TOKEN"
echo "# then: raysearch doctor && raysearch search ...; or ray job submit --address http://127.0.0.1:$dashboard ..."
# Workers may go and be missed; without its head there is no cluster.
wait "$head"
