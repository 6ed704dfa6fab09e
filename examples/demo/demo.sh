#!/usr/bin/env bash
# Deploys a tenant, shows what was made, changes it, disposes of it. Everything happens in a temporary folder that is
# removed at the end; nothing stays running. `make demo` makes the environment first.
set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tierform=${TIERFORM:-$project/.venv/bin/tierform}
python=${PYTHON:-$project/.venv/bin/python}
[[ -x $tierform ]] || { echo "$tierform is not there: run make demo" >&2; exit 2; }

work=$(mktemp -d)
data=$work/data
site=$work/site
export TIERFORM_KEY_FILE=${TIERFORM_KEY_FILE:-$work/key}

leave() {
  code=$?
  trap - EXIT INT TERM
  "$tierform" stop --data-dir "$data" >/dev/null 2>&1 || true # Only a run that was killed leaves anything to stop.
  rm -rf "$work"
  if [[ $code -ne 0 ]]; then echo "The demo failed (exit code $code)." >&2; fi
  exit "$code"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step() { printf '\n\033[1m%s\033[0m\n' "$1"; }
[[ -t 1 ]] || step() { printf '\n%s\n' "$1"; }
on() { "$tierform" "$@" --project "$project" --data-dir "$data"; }
seconds() { "$python" -c 'import sys; print(f"{float(sys.argv[2]) - float(sys.argv[1]):.1f}")' "$1" "$2"; }
now() { "$python" -c 'import time; print(time.monotonic())'; }

step "1  Deploy tenant acme: its Web DID, its configuration in cell eu-1, the route to it"
began=$(now)
on run tenant.deploy --id acme-1 -i tenantId=acme -i domain=acme.example.com -i cell=eu-1 -i "root=$site"
echo "deployed in $(seconds "$began" "$(now)") s, cold start included"

step "2  What it made"
(cd "$site" && find . -type f | sort)
echo
"$python" -m json.tool --indent 2 "$site/acme.example.com/.well-known/did.json"
echo
cat "$site/ingress/nginx/acme.conf"

step "3  Deploy it again with a name, two upstreams and a public key"
cat >"$work/change.json" <<JSON
{
  "tenantId": "acme",
  "domain": "acme.example.com",
  "cell": "eu-1",
  "root": "$site",
  "displayName": "Acme, Inc.",
  "upstreams": ["10.0.0.5:8080", "10.0.0.6:8080"],
  "publicKeyJwk": {
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"
  }
}
JSON
on run tenant.deploy --id acme-2 -f "$work/change.json"
grep -q '"Acme, Inc."' "$site/cells/eu-1/active/acme.json"
grep 'server 10' "$site/ingress/nginx/acme.conf"

step "4  What ran so far"
on list

step "5  Dispose of it: the tenant's id is enough"
on run tenant.dispose --id acme-3 -i tenantId=acme
left=$(find "$site" -mindepth 1 | wc -l)
[[ $left -eq 0 ]] || { echo "$left files or folders are left in $site" >&2; exit 1; }
echo "nothing is left of it"
