#!/usr/bin/env bash
# A private PostgreSQL and a single-node Kafka in one directory, on ports of their own, for demos and tests.
#   servers.sh up DIR PGPORT KAFKAPORT    starts what does not run yet (port 0: any free one) and writes DIR/env
#   servers.sh down DIR                   stops what was started in DIR, by its own pid files
#   servers.sh jars                       fetches Kafka's jars unless they are there; fails when Maven cannot be reached
#   servers.sh postgres-pid DIR           prints the process id of PostgreSQL's first process
#   servers.sh crash-postgres DIR         stops it without a checkpoint, as a power cut would
#   servers.sh crash-kafka DIR            kill -9
#   servers.sh destroy DIR                down, and the data is deleted
# DIR/env holds SAGA_DATABASE_URL and SAGA_KAFKA_BROKERS. Kafka is left out when NO_KAFKA is set; SAGA_PG_SETTINGS holds more
# options for the PostgreSQL server.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"
project=$(dirname "$here")
jars=${SAGA_KAFKA_JARS:-$project/.run/kafka-jars}

# PostgreSQL's server refuses to run as root: then it runs as the user that its package made.
as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

pg_bin() {
    local dir
    dir=$(find /usr/lib/postgresql -mindepth 1 -maxdepth 1 2>/dev/null | sort -V | tail -n 1)
    [ -x "$dir/bin/initdb" ] || die "no PostgreSQL server in /usr/lib/postgresql"
    echo "$dir/bin"
}

# Where the cluster lives: under DIR unless the postgres user cannot reach it.
pg_data() { # dir
    local dir=$1
    if [ "$(id -u)" -eq 0 ] && ! as_postgres test -x "$dir"; then
        echo "/var/tmp/saga-postgres-$(printf %s "$dir" | cksum | cut -d' ' -f1)"
    else
        echo "$dir/postgres"
    fi
}

pg_up() { # dir port
    local dir=$1 port=$2 bin data
    need_packages "${POSTGRES_PACKAGES[@]}"
    bin=$(pg_bin)
    data=$(pg_data "$dir")
    if ! [ -s "$data/PG_VERSION" ]; then
        say "making a PostgreSQL cluster in $data"
        mkdir -p "$data"
        [ "$(id -u)" -ne 0 ] || chown postgres: "$data"
        (cd / && as_postgres "$bin/initdb" -D "$data" -A trust -U saga -E UTF8 --locale=C >"$dir/initdb.log" 2>&1) ||
            { cat "$dir/initdb.log" >&2; die "initdb failed"; }
    fi
    if (cd / && as_postgres "$bin/pg_ctl" -D "$data" status >/dev/null 2>&1); then
        return 0
    fi
    port_is_free "$port" || die "port $port is taken by another program; set SAGA_PG_PORT"
    touch "$dir/postgres.log"
    [ "$(id -u)" -ne 0 ] || chown postgres: "$dir/postgres.log"
    say "starting PostgreSQL on 127.0.0.1:$port"
    (cd / && as_postgres "$bin/pg_ctl" -D "$data" -l "$dir/postgres.log" -w -t 60 -o "-c port=$port \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200 -c shared_buffers=256MB \
        -c max_wal_size=4GB ${SAGA_PG_SETTINGS:-}" start >/dev/null 2>&1) || { cat "$dir/postgres.log" >&2; die "PostgreSQL did not start"; }
    "$bin/psql" -h 127.0.0.1 -p "$port" -U saga -d postgres -Atqc \
        "SELECT 1 FROM pg_database WHERE datname = 'saga'" | grep -q 1 ||
        "$bin/createdb" -h 127.0.0.1 -p "$port" -U saga saga
}

pg_down() { # dir
    local data bin
    data=$(pg_data "$1")
    [ -s "$data/postmaster.pid" ] || return 0
    bin=$(pg_bin)
    (cd / && as_postgres "$bin/pg_ctl" -D "$data" -m fast -w stop >/dev/null 2>&1) || true
}

kafka_jars() {
    [ -e "$jars/complete" ] && return 0
    need_packages "${KAFKA_PACKAGES[@]}"
    say "fetching Kafka's jars (about 43 MB, once)"
    mkdir -p "$jars"
    mvn -q -B -f "$project/deploy/kafka/pom.xml" dependency:copy-dependencies -DoutputDirectory="$jars" \
        >"$jars/maven.log" 2>&1 || { tail -n 5 "$jars/maven.log" >&2; return 1; }
    touch "$jars/complete"
}

kafka_config() { # dir port controller-port
    cat <<TEXT
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$3
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3
advertised.listeners=PLAINTEXT://127.0.0.1:$2
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$1/kafka
num.partitions=4
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
TEXT
}

kafka_listens() { # port
    ! port_is_free "$1"
}

kafka_up() { # dir port
    local dir=$1 port=$2 controller
    pid_lives "$dir/kafka.pid" && return 0
    kafka_jars || die "Kafka's jars could not be fetched from Maven"
    need_packages openjdk-17-jre-headless
    port_is_free "$port" || die "port $port is taken by another program; set SAGA_KAFKA_PORT"
    if [ -s "$dir/kafka.properties" ]; then
        sed -i "s/^\(advertised.\)\?listeners=PLAINTEXT:..127.0.0.1:[0-9]*/\1listeners=PLAINTEXT:\/\/127.0.0.1:$port/" "$dir/kafka.properties"
    else
        controller=$(free_port)
        kafka_config "$dir" "$port" "$controller" >"$dir/kafka.properties"
        java -cp "$jars/*" kafka.tools.StorageTool format -t c2FnYS1sb2NhbC1rYWZrYQ -c "$dir/kafka.properties" \
            >"$dir/kafka-format.log" 2>&1 || { cat "$dir/kafka-format.log" >&2; die "Kafka's storage was not formatted"; }
    fi
    say "starting Kafka on 127.0.0.1:$port"
    setsid java -Xms256m -Xmx512m -XX:+UseSerialGC -cp "$jars/*" kafka.Kafka "$dir/kafka.properties" \
        >"$dir/kafka.log" 2>&1 </dev/null &
    echo $! >"$dir/kafka.pid"
    wait_for 60 "Kafka, see $dir/kafka.log" kafka_listens "$port" || exit 1
}

up() { # dir pgport kafkaport
    local dir pgport=$2 kafkaport=$3
    mkdir -p "$1"
    dir=$(cd "$1" && pwd)
    if [ -s "$dir/env" ]; then
        pgport=$(sed -n 's/^# pg //p' "$dir/env")
        kafkaport=$(sed -n 's/^# kafka //p' "$dir/env")
    fi
    [ "$pgport" != 0 ] || pgport=$(free_port)
    [ "$kafkaport" != 0 ] || kafkaport=$(free_port)
    cat >"$dir/env" <<TEXT
# pg $pgport
# kafka $kafkaport
SAGA_DATABASE_URL=postgresql://saga@127.0.0.1:$pgport/saga
SAGA_KAFKA_BROKERS=127.0.0.1:$kafkaport
TEXT
    [ -n "${NO_KAFKA:-}" ] || kafka_up "$dir" "$kafkaport" &
    local kafka_job=$!
    pg_up "$dir" "$pgport"
    wait "$kafka_job"
}

down() { # dir
    [ -d "$1" ] || return 0
    local dir
    dir=$(cd "$1" && pwd)
    stop_pid "$dir/kafka.pid"
    pg_down "$dir"
}

postgres_pid() { # dir
    head -n 1 "$(pg_data "$(cd "$1" && pwd)")/postmaster.pid"
}

crash_postgres() { # dir
    local data bin
    data=$(pg_data "$(cd "$1" && pwd)")
    bin=$(pg_bin)
    (cd / && as_postgres "$bin/pg_ctl" -D "$data" -m immediate -w stop >/dev/null 2>&1)
}

crash_kafka() { # dir
    kill -9 "$(cat "$1/kafka.pid")"
    wait_for 10 "the end of Kafka" pid_is_gone "$1/kafka.pid"
    rm -f "$1/kafka.pid"
}

pid_is_gone() { # pid file
    ! pid_lives "$1"
}

destroy() { # dir
    [ -d "$1" ] || return 0
    local dir
    dir=$(cd "$1" && pwd)
    down "$dir"
    rm -rf "$(pg_data "$dir")" "$dir"
}

case "${1:-}" in
up) up "$2" "$3" "$4" ;;
down) down "$2" ;;
destroy) destroy "$2" ;;
jars) kafka_jars ;;
postgres-pid) postgres_pid "$2" ;;
crash-postgres) crash_postgres "$2" ;;
crash-kafka) crash_kafka "$2" ;;
*) die "usage: servers.sh up DIR PGPORT KAFKAPORT | down DIR | destroy DIR" ;;
esac
