#!/usr/bin/env bash
# A hook of a Spacelift stack: deploys (after_apply) or disposes of (before_destroy) the tenant that the stack is for.
#
#   tenant.sh tenant.deploy|tenant.dispose
#
# Runs in the stack's folder, which holds tenant.json: the orchestration's inputs. From Spacelift come the TF_VAR_spacelift_*
# variables: the stack's id is the tenant's, the run's id is the orchestration's. From the stack's own environment:
#
#   TIERFORM_PROJECT    the folder with orchestrations/ and modules/
#   TIERFORM_DATA_DIR   where Tierform keeps its data; a mounted volume, as the worker's own disk goes with the run
#   TIERFORM            the command, tierform unless set
#   PYTHON              python3 unless set
#
# The exit code is the command's; any but 0 fails the run.
set -euo pipefail

orchestration=${1:-tenant.deploy}
tierform=${TIERFORM:-tierform}
python=${PYTHON:-python3}

misused() {
  printf '%s\n' "$1" >&2
  exit 2
}

for name in TF_VAR_spacelift_run_id TF_VAR_spacelift_stack_id TIERFORM_PROJECT TIERFORM_DATA_DIR; do
  [[ -n ${!name:-} ]] || misused "$name is not set: is this a hook of a Spacelift stack?"
done
[[ -f tenant.json ]] || misused "there is no tenant.json in $PWD"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The file's inputs, the tenant's id, and where the change came from. What people typed never passes through the shell.
"$python" - >"$work/inputs.json" <<'PYTHON'
import json
import os
import sys

with open("tenant.json", encoding="utf-8") as file:
    inputs = json.load(file)
inputs["tenantId"] = os.environ["TF_VAR_spacelift_stack_id"]
facts = {
    "commit": "TF_VAR_spacelift_commit_sha",
    "branch": "TF_VAR_spacelift_commit_branch",
    "repository": "TF_VAR_spacelift_repository",
    "space": "TF_VAR_spacelift_space_id",
}
inputs["metadata"] = inputs.get("metadata", {}) | {
    name: os.environ[variable] for name, variable in facts.items() if os.environ.get(variable)
}
json.dump(inputs, sys.stdout)
PYTHON

# Whatever the command leaves running in the background must not hold the hook's pipes: it gets files. The run's id is
# the orchestration's, so a run that Spacelift repeats after its worker died goes on where it stood.
code=0
"$tierform" run "$orchestration" -f "$work/inputs.json" --output json \
  --project "$TIERFORM_PROJECT" --data-dir "$TIERFORM_DATA_DIR" \
  --id "spacelift-${TF_VAR_spacelift_run_id:?}-$orchestration" --correlation-id "${TF_VAR_spacelift_run_id:?}" \
  </dev/null >"$work/out" 2>"$work/err" || code=$?
cat "$work/err" >&2

if [[ -s $work/out ]]; then
  "$python" - "$work/out" <<'PYTHON'
import json
import sys

STATES = ["initialized", "running", "completed", "errored", "cancelled", "compensating", "compensated"]

with open(sys.argv[1], encoding="utf-8") as file:
    orchestration = json.load(file)
print(f"{orchestration['orchestrationType']} {orchestration['id']}: {STATES[orchestration['state']]}")
if error := orchestration.get("processingData", {}).get("error"):
    print(error)
for name, value in orchestration.get("outputData", {}).items():
    secret = isinstance(value, dict) and "$secret" in value
    print(f"{name} = {'(secret)' if secret else json.dumps(value)}")
PYTHON
fi
exit "$code"
