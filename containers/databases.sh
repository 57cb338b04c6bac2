#!/bin/sh
# Run by PostgreSQL's image when its volume is new: a database for Label Studio and one for prelabel, each with an
# owner of its own, who does not get into the other.
set -eu
psql --set=ON_ERROR_STOP=1 --quiet --username="$POSTGRES_USER" --dbname=postgres \
    --set=theirs="$LABEL_STUDIO_DB_PASSWORD" --set=ours="$PRELABEL_DB_PASSWORD" <<'SQL'
CREATE ROLE label_studio LOGIN PASSWORD :'theirs';
CREATE ROLE prelabel LOGIN PASSWORD :'ours';
CREATE DATABASE label_studio OWNER label_studio;
CREATE DATABASE prelabel OWNER prelabel;
REVOKE CONNECT ON DATABASE label_studio, prelabel FROM PUBLIC;
SQL
