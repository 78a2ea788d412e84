#!/bin/bash
# The public image's contract: POSTGRES_{USER,PASSWORD,DB,INITDB_ARGS,HOST_AUTH_METHOD}, the first
# three also as *_FILE, PGDATA, and /docker-entrypoint-initdb.d on the first start.
set -eu
for name in POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB; do
  file=${name}_FILE
  [ -z "${!file:-}" ] || export "$name=$(cat "${!file}")"
done
: "${PGDATA:=/var/lib/postgresql/data}" "${POSTGRES_USER:=postgres}" "${POSTGRES_HOST_AUTH_METHOD:=scram-sha-256}"
: "${POSTGRES_DB:=$POSTGRES_USER}"

case "${1:-postgres}" in
  -*) set -- postgres "$@" ;;
  "") set -- postgres ;;
esac
[ "$1" = postgres ] || exec "$@"

if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /var/run/postgresql
  chown postgres: "$PGDATA" /var/run/postgresql
  exec gosu postgres "$0" "$@"
fi

run_sql() { psql --no-psqlrc -q -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$1"; }

first_start() {
  if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$POSTGRES_HOST_AUTH_METHOD" != trust ]; then
    echo "Set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust" >&2
    exit 1
  fi
  # shellcheck disable=SC2086  # the arguments are words by contract
  initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-}") \
    --auth-local=trust --auth-host=scram-sha-256 ${POSTGRES_INITDB_ARGS:-} > /dev/null
  echo "host all all all $POSTGRES_HOST_AUTH_METHOD" >> "$PGDATA/pg_hba.conf"
  # This server listens on the socket only: whoever probes over TCP sees it ready when it really is.
  pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=" start > /dev/null
  if [ "$POSTGRES_DB" != postgres ]; then
    echo 'CREATE DATABASE :"name"' |
      psql --no-psqlrc -q -v ON_ERROR_STOP=1 -v name="$POSTGRES_DB" -U "$POSTGRES_USER" -d postgres
  fi
  for database in template1 "$POSTGRES_DB"; do
    echo 'CREATE EXTENSION IF NOT EXISTS timescaledb' | run_sql "$database" 2> /dev/null
  done
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
      *.sql) run_sql "$POSTGRES_DB" < "$file" ;;
      *.sql.gz) gunzip -c "$file" | run_sql "$POSTGRES_DB" ;;
    esac
  done
  pg_ctl -D "$PGDATA" -m fast -w stop > /dev/null
}

mkdir -p "$PGDATA"
chmod 700 "$PGDATA" 2> /dev/null || true
[ -s "$PGDATA/PG_VERSION" ] || first_start
exec "$@"
