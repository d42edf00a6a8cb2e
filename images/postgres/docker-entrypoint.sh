#!/bin/sh
# Starts PostgreSQL and, the first time, makes the cluster that the environment asks for:
#   POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE   required, unless POSTGRES_HOST_AUTH_METHOD=trust
#   POSTGRES_USER (postgres), POSTGRES_DB (the user's name), POSTGRES_INITDB_ARGS
# Scripts (*.sh, *.sql, *.sql.gz) in /docker-entrypoint-initdb.d run once, in order, before anybody can connect.
set -eu

die() { echo "postgres: $*" >&2; exit 1; }

# from_file NAME: takes the value of NAME from the file that NAME_FILE names.
from_file() {
	eval "file=\${${1}_FILE:-} value=\${$1:-}"
	[ -z "$file" ] && return
	[ -z "$value" ] || die "set $1 or ${1}_FILE, not both"
	[ -r "$file" ] || die "cannot read $file, which ${1}_FILE names"
	eval "$1=\$(cat \"\$file\")"
}

# The cluster is made in .new, renamed to .ready when whole, and then moved into place, its PG_VERSION last. Whenever
# this is interrupted, the next start knows where to go on.
make_cluster() {
	new=$PGDATA/.new
	rm -rf "$new"
	from_file POSTGRES_PASSWORD
	from_file POSTGRES_USER
	from_file POSTGRES_DB
	user=${POSTGRES_USER:-postgres}
	db=${POSTGRES_DB:-$user}
	method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
	[ -n "${POSTGRES_PASSWORD:-}" ] || [ "$method" = trust ] ||
		die "the new database needs a password: set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE"

	password=$(mktemp)
	printf '%s\n' "${POSTGRES_PASSWORD:-}" >"$password"
	set -- --pgdata="$new" --username="$user" --encoding=UTF8
	[ -z "${POSTGRES_PASSWORD:-}" ] || set -- "$@" --pwfile="$password"
	# shellcheck disable=SC2086 # several arguments are what it is for
	initdb "$@" ${POSTGRES_INITDB_ARGS:-} || { rm -f "$password"; die "initdb could not make the cluster"; }
	rm -f "$password"
	echo "host all all all $method" >>"$new/pg_hba.conf"
	echo "listen_addresses = '*'" >>"$new/postgresql.conf"

	# Nobody can reach this server but by the socket in its private directory.
	pg_ctl --pgdata="$new" -o "-c listen_addresses='' -k '$new'" --silent --wait start
	export PGHOST="$new" PGUSER="$user"
	[ "$db" = postgres ] ||
		echo 'CREATE DATABASE :"db"' | psql -v ON_ERROR_STOP=1 --no-psqlrc -d postgres -v db="$db" --quiet
	export PGDATABASE="$db"
	for script in /docker-entrypoint-initdb.d/*; do
		case $script in
		*.sh)
			echo "postgres: running $script"
			# shellcheck disable=SC1090 # the user's own
			if [ -x "$script" ]; then "$script"; else . "$script"; fi
			;;
		*.sql) echo "postgres: running $script"; psql -v ON_ERROR_STOP=1 --no-psqlrc -f "$script" ;;
		*.sql.gz) echo "postgres: running $script"; gunzip -c "$script" | psql -v ON_ERROR_STOP=1 --no-psqlrc ;;
		esac
	done
	unset PGHOST PGUSER PGDATABASE
	pg_ctl --pgdata="$new" --mode=fast --silent --wait stop
	mv "$new" "$PGDATA/.ready"
}

move_into_place() {
	for file in "$PGDATA"/.ready/*; do
		[ "${file##*/}" = PG_VERSION ] || mv "$file" "$PGDATA/"
	done
	mv "$PGDATA/.ready/PG_VERSION" "$PGDATA/"
	rm -rf "$PGDATA/.ready"
}

case ${1:-} in -*) set -- postgres "$@" ;; esac

if [ "${1:-}" = postgres ] && [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA" /run/postgresql
	find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
	chown postgres:postgres /run/postgresql
	chmod 0700 "$PGDATA"
	chmod 3775 /run/postgresql
	exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

if [ "${1:-}" = postgres ]; then
	umask 0077
	[ -s "$PGDATA/PG_VERSION" ] || [ -d "$PGDATA/.ready" ] || make_cluster
	[ -d "$PGDATA/.ready" ] && move_into_place
	unset POSTGRES_PASSWORD
fi
exec "$@"
