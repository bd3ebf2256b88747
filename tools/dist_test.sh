#!/usr/bin/env bash
# Test on several GPUs: tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]
# Several machines: NNODES=2 NODE_RANK=0 MASTER_ADDR=10.1.1.1 on the first, NODE_RANK=1 on the second.
set -euo pipefail
[[ $# -ge 3 ]] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }

tools=$(cd "$(dirname "$0")" && pwd)
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node-rank="${NODE_RANK:-0}" \
    --master-addr="${MASTER_ADDR:-127.0.0.1}" \
    --master-port="${PORT:-29500}" \
    --nproc-per-node="$3" \
    "$tools/test.py" "$1" "$2" --launcher pytorch "${@:4}"
