#!/usr/bin/env bash
# Train under Slurm: tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of train.py]
# GPUS=16 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS="--time=1-0" in front change the job's size.
# The job is submitted with --requeue: before a preemption or time limit it saves a checkpoint and
# requeues itself, and every start goes on from the newest checkpoint. Inside an allocation (salloc) it runs at once.
set -euo pipefail
[[ $# -ge 4 ]] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
partition=$1 name=$2 config=$3 work_dir=$4

if [[ -z ${SLURM_JOB_ID:-} ]]; then
    mkdir -p "$work_dir"
    MMEXT_TOOLS=$(cd "$(dirname "$0")" && pwd)  # Slurm runs a copy of this script
    export MMEXT_TOOLS
    gpus=${GPUS:-8} per_node=${GPUS_PER_NODE:-8}
    # shellcheck disable=SC2086  # SRUN_ARGS is several words
    exec sbatch --partition="$partition" --job-name="$name" \
        --gres="gpu:$per_node" --ntasks="$gpus" --ntasks-per-node="$per_node" \
        --cpus-per-task="${CPUS_PER_TASK:-5}" \
        --requeue --signal=B:USR1@"${GRACE:-120}" --open-mode=append \
        --output="$work_dir/slurm-%j.out" ${SRUN_ARGS:-} "$0" "$@"
fi

tools=${MMEXT_TOOLS:-$(cd "$(dirname "$0")" && pwd)}
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
srun --kill-on-bad-exit=1 "${PYTHON:-python}" -u "$tools/train.py" "$config" \
    --work-dir "$work_dir" --launcher slurm --resume auto "${@:5}" &
training=$!
trap 'told=1; kill -USR1 "$training"' USR1 TERM  # srun passes it on; training saves and exits with 75
while true; do
    told=0
    wait "$training" && status=0 || status=$?
    [[ $told -eq 1 ]] || break  # a signal ends wait early
done
if [[ $status -eq 75 ]]; then
    echo "requeued, resumes from the newest checkpoint"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
