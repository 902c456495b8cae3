#!/usr/bin/env bash
# What xentool does, shown on the mock host: no Xen, no root, nothing left behind.
set -euo pipefail
examples=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
export XENTOOL_BACKEND=mock XENTOOL_MOCK_DIR=$folder/host
cleanup() {
    xentool mock stop >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; else bold='' dim='' plain=''; fi
tell() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
show() {
    printf '%s$ %s%s\n' "$dim" "$*" "$plain"
    "$@"
}

cd "$folder"
cp "$examples/tiny.cfg" .

tell "A kernel for the mock host's guests, and a config for one of them."
show xentool mock kernel tiny-kernel
show cat tiny.cfg

tell "What create would do. Nothing is touched; this works on any machine."
printf '%s$ xentool create --dry-run tiny.cfg%s\n' "$dim" "$plain"
xentool create --dry-run tiny.cfg >plan
sed -n '1,/^$/p' plan
sed -n '/^segment/,/^$/p' plan

tell "Create it. The mock host starts by itself."
show xentool create tiny.cfg
show xentool list
show xentool info free_memory

tell "Give it a network interface that sends from 10.0.0.5 alone, and a disk; its drivers connect."
truncate -s 64M data.raw
show xentool network-attach tiny bridge=xenbr0 lock ips=10.0.0.5
show xentool block-attach tiny "$folder/data.raw,raw,xvda,w"
show xentool network-list tiny
show xentool block-list tiny
show xentool mock links

tell "An attach that cannot work says why, and leaves nothing."
show xentool network-attach tiny bridge=nobody || printf '(exit code %s)\n' "$?"
show xentool block-detach tiny xvda

tell "Its console, until it has shut down."
printf '%s$ xentool console tiny &%s\n' "$dim" "$plain"
exec 3< <(xentool console tiny </dev/null)
IFS= read -r line <&3 # we are attached when the first line comes
show xentool shutdown --wait --timeout 30 tiny
{ printf '%s\n' "$line"; cat; } <&3 | tr -d '\r' | sed 's/^/    /'
exec 3<&-

tell "It is gone, and nothing is left."
show xentool list

tell "And what an error looks like."
show xentool destroy tiny || printf '(exit code %s)\n' "$?"
