#!/bin/sh
# Tells nginx which name server the container has, for configurations that look names up while they run:
#   include /etc/nginx/resolver.conf;
set -eu

if [ "${1:-}" = nginx ] && [ -w /etc/nginx ]; then
	servers=$(awk '$1 == "nameserver" { print ($2 ~ ":" ? "[" $2 "]" : $2) }' /etc/resolv.conf)
	# shellcheck disable=SC2086 # one line, however many there are
	[ -z "$servers" ] || echo "resolver" $servers "valid=1s;" >/etc/nginx/resolver.conf
fi
exec "$@"
