#!/usr/bin/env bash
# First start of the database: one role and one schema per service, nobody
# enters a schema that is not theirs. The same as the private cluster has.
set -euo pipefail

: "${BV_DB_PASSWORD:?set BV_DB_PASSWORD for the services of the split set}"

run() {
    psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username postgres --dbname bellavista "$@"
}

run --command 'REVOKE ALL ON DATABASE bellavista FROM PUBLIC' \
    --command 'REVOKE ALL ON SCHEMA public FROM PUBLIC'

for service in gateway identity catalog inventory cart orders payments notifications operations; do
    run --set role="bv_$service" --set schema="$service" --set password="$BV_DB_PASSWORD" <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'password';
GRANT CONNECT, TEMPORARY ON DATABASE bellavista TO :"role";
ALTER ROLE :"role" IN DATABASE bellavista SET search_path = :"schema";
CREATE SCHEMA :"schema" AUTHORIZATION :"role";
SQL
done
