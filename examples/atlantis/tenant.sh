#!/usr/bin/env bash
# A custom workflow step of Atlantis: deploys or disposes of the tenant whose folder the pull request changes.
#
#   tenant.sh plan|apply tenant.deploy|tenant.dispose
#
# Runs in the project's folder, which holds tenant.json: the orchestration's inputs. From Atlantis come PROJECT_NAME (the
# tenant's id), PULL_NUM, PULL_URL, HEAD_COMMIT and USER_NAME. From the server's own environment:
#
#   TIERFORM_PROJECT    the folder with orchestrations/ and modules/
#   TIERFORM_DATA_DIR   where Tierform keeps its data; outside the clone, which Atlantis deletes
#   TIERFORM            the command, tierform unless set
#   PYTHON              python3 unless set
#
# The exit code is the command's. What is printed ends up in the pull request's comment.
set -euo pipefail

stage=${1:-}
orchestration=${2:-tenant.deploy}
tierform=${TIERFORM:-tierform}
python=${PYTHON:-python3}

misused() {
  printf '%s\n' "$1" >&2
  exit 2
}

for name in PROJECT_NAME PULL_NUM HEAD_COMMIT TIERFORM_PROJECT TIERFORM_DATA_DIR; do
  [[ -n ${!name:-} ]] || misused "$name is not set: is this a run step of an Atlantis project with a name?"
done
[[ $stage == plan || $stage == apply ]] || misused "usage: tenant.sh plan|apply tenant.deploy|tenant.dispose"
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
inputs["tenantId"] = os.environ["PROJECT_NAME"]
inputs["metadata"] = inputs.get("metadata", {}) | {
    "pullRequest": os.environ.get("PULL_URL") or os.environ["PULL_NUM"],
    "commit": os.environ["HEAD_COMMIT"],
    "user": os.environ.get("USER_NAME", ""),
}
json.dump(inputs, sys.stdout)
PYTHON

# Whatever the command leaves running in the background must not hold the step's pipes: it gets files.
run() {
  local code=0
  "$@" </dev/null >"$work/out" 2>"$work/err" || code=$?
  cat "$work/err" >&2
  return "$code"
}

if [[ $stage == plan ]]; then
  run "$tierform" validate "$TIERFORM_PROJECT/orchestrations"
  run "$tierform" graph "$orchestration" --project "$TIERFORM_PROJECT"
  cat "$work/out"
  exit 0
fi

# The same commit applied again is the same orchestration: one that was interrupted goes on, a finished one is shown.
code=0
run "$tierform" run "$orchestration" -f "$work/inputs.json" --output json \
  --project "$TIERFORM_PROJECT" --data-dir "$TIERFORM_DATA_DIR" \
  --id "atlantis-$PULL_NUM-$HEAD_COMMIT-$PROJECT_NAME" --correlation-id "atlantis-$PULL_NUM" || code=$?

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
