set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username="$POSTGRES_USER" --pwfile=/dev/stdin --auth=trust --auth-host=scram-sha-256 --encoding=UTF8 \
        --locale=C.UTF-8 <<END
$POSTGRES_PASSWORD
END
    printf '%s\n' 'local all all trust' 'host all all 127.0.0.1/32 trust' 'host all all all scram-sha-256' >"$PGDATA/pg_hba.conf"
    pg_ctl --wait --options="-c listen_addresses=''" start
    for script in /docker-entrypoint-initdb.d/*.sh; do
        . "$script"
    done
    pg_ctl --wait --mode=fast stop
fi
exec postgres -c 'listen_addresses=*'
