#!/bin/sh
# Does what the official image's entry point does with the variables that docker-compose.yml sets.
set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/data
as="setpriv --reuid postgres --regid postgres --init-groups"

if [ ! -s "$data/PG_VERSION" ]; then
  install -d -o postgres -g postgres -m 700 "$data"
  install -o postgres -m 400 "$POSTGRES_PASSWORD_FILE" /tmp/password
  $as "$bin/initdb" -D "$data" -U "$POSTGRES_USER" --pwfile /tmp/password --encoding UTF8 --locale C.UTF-8 \
    --auth-local trust --auth-host scram-sha-256 -N >/dev/null
  echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
  $as "$bin/pg_ctl" -D "$data" -w -o "-c listen_addresses='' -k /tmp" start >/dev/null
  $as "$bin/createdb" -h /tmp -U "$POSTGRES_USER" "$POSTGRES_DB"
  $as "$bin/pg_ctl" -D "$data" -w stop >/dev/null
fi
install -d -o postgres /run/postgresql
exec $as "$bin/postgres" -D "$data" -c listen_addresses='*' -k /run/postgresql
