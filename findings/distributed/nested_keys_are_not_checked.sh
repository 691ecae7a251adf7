#!/usr/bin/env bash
# accelerate 1.15.0: `accelerate launch` refuses an unknown key of its config file, but not one inside fsdp_config,
# deepspeed_config or parallelism_config: it becomes an argument that nothing reads.
#
# Output seen: top level: refused; in fsdp_config: accepted
#
# Why it matters: fsdp_reshard_after_foward: true, misspelled, or a key of FSDP 1 in a file for FSDP 2, changes nothing and
# nobody is told. A test of config files has to compare nested keys with the launcher's arguments.
#
# Exits 0 while this is so, 1 when it has changed. Installs torch (some hundred MB).
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet torch==2.13.0 accelerate==1.15.0
config() {
    printf 'distributed_type: FSDP\nnum_processes: 1\nmixed_precision: "no"\n%s\nfsdp_config: {fsdp_version: 2%s}\n' "$1" "$2"
}
echo "print('ran')" > "$tmp/program.py"
config "num_machins: 1" "" > "$tmp/top.yaml"
config "num_machines: 1" ", fsdp_reshard_after_foward: true" > "$tmp/nested.yaml"
for name in top nested; do
    "$tmp/venv/bin/accelerate" launch --config_file "$tmp/$name.yaml" "$tmp/program.py" > "$tmp/$name.log" 2>&1 || true
done
grep -q "unknown keys" "$tmp/top.log" && top=refused
grep -q "^ran" "$tmp/nested.log" && nested=accepted
echo "top level: ${top:-accepted}; in fsdp_config: ${nested:-refused}"
[ "${top:-}" = refused ] && [ "${nested:-}" = accepted ]
