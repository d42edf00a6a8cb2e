#!/bin/sh
# Starts Redis as the user redis. Without a configuration file it takes clients from other containers.
set -eu

case ${1:-} in -* | *.conf) set -- redis-server "$@" ;; esac

if [ "${1:-}" = redis-server ]; then
	if [ "$(id -u)" = 0 ]; then
		find . \! -user redis -exec chown redis '{}' +
		exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"
	fi
	case ${2:-} in
	'' | -*) set -- "$@" --protected-mode no ;;
	esac
fi
exec "$@"
